"""HTTP as clients in the field speak it: offers to upgrade, connections to be closed, bodies in any pieces."""

import json
import socket
import urllib.error
import urllib.request

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.attacks import V1

CROP = json.dumps({"instances": [[[40] * 151] * 151]}).encode()
H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA\r\n"
OFFERS = (
    H2C,
    H2C.lower(),
    "connection: HTTP2-Settings , upgrade\r\nHTTP2-SETTINGS: AAMAAABk\r\nUPGRADE: h2c\r\n",
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAA==\r\n",
    "Connection: upgrade\r\nUpgrade: TLS/1.3, h2c, foo/2\r\n",
    "Connection: keep-alive, Upgrade\r\nUpgrade: \r\n",
    "Upgrade: h2c\r\n",
    "Connection: Upgrade\r\n",
)


def request(offer: str, body: bytes, *, chunked: bool, path: str = V1, version: str = "1.1") -> bytes:
    """The bytes of a POST with an offer to upgrade."""
    head = f"POST {path} HTTP/{version}\r\nHost: h\r\n{offer}Content-Type: application/json\r\n"
    if not chunked:
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    return f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


def answers(server, sent: bytes, cuts: list[int] = ()) -> bytes:
    """All that comes back of ``sent``, which ends with a request to close; sent in pieces cut at ``cuts``."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
            line.sendall(sent[start:end])
        return b"".join(iter(lambda: line.recv(65536), b""))


LAST = b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("offer", OFFERS)
def test_an_offered_upgrade_is_ignored_and_the_body_is_read(server, offer, chunked):
    told = answers(server, request(offer, CROP, chunked=chunked) + LAST)
    assert told.count(b"HTTP/1.1 200 ") == 2, told[:300]
    assert b'"predictions":[{' in told
    assert b"HTTP/1.1 101" not in told


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_offers_in_any_number_and_any_pieces_are_answered(server, data):
    small = json.dumps({"instances": [[1]]}).encode()  # its refusal names the crop: the body was read
    offers = data.draw(st.lists(st.sampled_from(("", *OFFERS)), min_size=1, max_size=6))
    chunked = data.draw(st.lists(st.booleans(), min_size=len(offers), max_size=len(offers)))
    sent = b"".join(request(o, small, chunked=c) for o, c in zip(offers, chunked, strict=True)) + LAST
    cuts = sorted(data.draw(st.lists(st.integers(1, len(sent) - 1), max_size=4)))
    told = answers(server, sent, cuts)
    assert told.count(b"CROP_SHAPE") == len(offers), (offers, cuts, told[:300])
    assert told.count(b"HTTP/1.1 200 ") == 1


def test_thousands_of_offers_in_one_piece_are_answered_in_turn(server):
    one = b"GET /v2 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert answers(server, one * 2000 + LAST).count(b"HTTP/1.1 200 ") == 2001


def test_websocket_and_health_are_plain_http(server):
    offer = OFFERS[3].replace("\r\n", "\n").strip().split("\n")
    headers = dict(line.split(": ", 1) for line in offer)
    assert server.ask("GET", "/v2/health/ready", headers=headers)[0] == 200


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_caller_that_closes_reads_why_its_body_was_refused(start, version):
    server = start("--max-json-mb", "1", "--grpc-port", "off")
    sent = request("Connection: close\r\n", b"x" * (20 * 2**20), chunked=False, version=version)
    told = answers(server, sent)
    assert told.startswith(b"HTTP/1.1 413 ")
    assert b"BODY_TOO_LARGE" in told
    url = f"http://127.0.0.1:{server.http_port}{V1}"  # urllib asks to close each connection
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url, b"x" * (20 * 2**20), timeout=30)
    assert caught.value.code == 413
    caught.value.close()


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_a_refused_body_that_never_ends_is_not_waited_for(start, connection):
    server = start("--body-seconds", "1", "--grpc-port", "off")
    head = f"POST {V1} HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\nContent-Length: {10**12}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=10) as line:
        line.sendall(head)
        told = line.recv(65536)
        line.sendall(b"x" * 1000)  # and no more
        told += b"".join(iter(lambda: line.recv(65536), b""))
    assert told.startswith(b"HTTP/1.1 413 ")
    assert told.endswith(b"}")
