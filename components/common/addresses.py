"""Checks addresses of servers and buckets that a user gives, before anything is sent to them."""

import re
from urllib.parse import urlsplit

from components.common.errors import InputError
from components.common.field_types import shown

#: A bucket's name, as S3 servers other than AWS's allow it, and in former years AWS too.
BUCKET = r"(?![^/]*(\.\.|\.-|-\.))[A-Za-z0-9][A-Za-z0-9._:-]{1,61}[A-Za-z0-9]"
BUCKET_RULE = "a bucket's name of 3 to 63 letters, digits, dots and hyphens"
#: Host names, IPv4 addresses, and IPv6 addresses without their brackets, with or without a zone (RFC 6874).
_HOST = re.compile(r"[\w.-]+|[0-9a-f.]*:[0-9a-f:.]*(%(25)?[\w.~-]+)?", re.IGNORECASE | re.ASCII)


def http_address(url: str, option: str, *, credentials: bool = False) -> str:
    """The address without a slash at its end.

    Parameters
    ----------
    url
        What the user gave.
    option
        Where it was given, for the message: ``--url``.
    credentials
        Whether it may hold a user's name and password.

    Raises
    ------
    InputError
        ``ADDRESS_INVALID``. An address that may hold a password is not quoted.
    """
    if problem := problem_of_address(url, credentials=credentials):
        quoted = "" if "@" in url else f" {shown(url)}"
        hint = f"Give {option} as http://HOST:PORT or https://HOST"
        hint += "." if credentials else ", without a user's name or password."
        raise InputError("ADDRESS_INVALID", f"the address{quoted} of {option} cannot be used: {problem}", hint)
    return url.rstrip("/")


def problem_of_address(url: str, *, credentials: bool = False) -> str:
    """Why ``url`` is not the http or https address of a server; "" where it is. ``credentials`` may be part of it."""
    if not url.isprintable() or " " in url or "\\" in url:
        return "it contains a space, a backslash or a control character"
    if not url.lower().startswith(("http://", "https://")):
        return "it does not begin with http:// or https://"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "its port is not a number from 1 to 65535, or a bracket is not closed"
    if port == 0:
        return "its port is not a number from 1 to 65535, or a bracket is not closed"
    if "@" in parts.netloc and not credentials:
        return "it holds a user's name or password"
    if not _HOST.fullmatch(parts.hostname or ""):
        return "its host is missing, or is not a host name in ASCII"
    return "it has a query or a fragment" if parts.query or parts.fragment else ""
