"""Addresses of servers are checked before anything is sent."""

import pytest

from components.common.addresses import http_address, problem_of_address
from components.common.errors import InputError

#: Address -> why it is refused.
WRONG = {
    "foo": "does not begin",
    "": "does not begin",
    "ftp://x": "does not begin",
    "http://": "host is missing",
    "http://:80": "host is missing",
    "http://h:99999": "port",
    "http://h:0": "port",
    "http://h:x": "port",
    "http://[::1": "bracket",
    "http://a b": "a space",
    "http://h\n": "control character",
    "http://h\\x": "backslash",
    "http://jane:secret@h": "password",
    "http://h/?a=1": "query",
    "http://m\u00fcnchen": "ASCII",
    "http://a%25lo": "host",
}


@pytest.mark.parametrize("url", WRONG)
def test_what_is_no_address_of_a_server_is_refused_with_the_reason(url):
    with pytest.raises(InputError, match="--url") as caught:
        http_address(url, "--url")
    assert (caught.value.code, caught.value.exit_code) == ("ADDRESS_INVALID", 2)
    assert WRONG[url] in caught.value.safe_message
    assert "secret" not in str(caught.value)
    assert "http://HOST:PORT" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        *("http://h", "https://h.example/kfp/", "http://127.0.0.1:8080", "HTTP://H"),
        *("http://[::1]:80", "http://[fe80::1%25lo]:1", "http://[fe80::1%eth0.1]"),
    ],
)
def test_addresses_of_servers_are_accepted(url):
    assert http_address(url, "--url") == url.rstrip("/")


def test_a_server_that_needs_them_gets_credentials_in_its_address():
    assert problem_of_address("http://jane:secret@h", credentials=True) == ""
