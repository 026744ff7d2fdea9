"""The HTTP/1.1 parser: h11, and the limits that it leaves to its caller.

h11 limits its buffer for an incomplete message, reads one request at a time, and leaves a request to upgrade to its
caller, which ignores it. This parser adds limits on small chunks and short lines, and refuses framing that two servers
may read as different requests (RFC 9112 6.1).
"""

import re
from typing import Any, NoReturn
from urllib.parse import urlsplit

import h11

from components.common.limits import CHUNK_BYTES, CHUNKS, HEAD_BYTES, HEAD_LINES

#: What to do about a request that is refused for its framing or its limits.
_AS_THE_RFC = "Send requests as RFC 9112 describes them."
_LARGE_HEAD = f"The address and the headers are larger than {HEAD_BYTES} bytes together."
#: First bytes of a TLS handshake: its record type, and the major version that all releases of TLS have in common.
_TLS = b"\x16\x03"
_PLAIN = "This port speaks plain HTTP: begin the address with http://, or send TLS to the gateway before the predictor."
_SMALLER = "Send a shorter address, and fewer and shorter headers."
_SMALLER_LINES = "Send fewer and shorter trailers, and each chunk's size without extensions."
_VERSIONS = "Send HTTP/1.1."
_GRPC = (
    "gRPC has a port of its own: srs serve opens it with --grpc, python -m serving with --grpc-port. "
    "Send HTTP/1.1 here."
)
_CHUNK = (
    "A chunk of the body is not framed as HTTP requires.",
    "Send each chunk with its size in hexadecimal, or the whole body with Content-Length.",
)
#: How h11's own texts begin -> what was wrong, and what to do about it. Nothing of the request is quoted.
_KNOWN = {
    "Missing mandatory Host": ("The header Host is missing.", "Send the header Host, which HTTP/1.1 requires."),
    "Found multiple Host": ("The header Host is given more than once.", "Send the header Host once."),
    "illegal request line": (
        "The first line is not that of an HTTP request.",
        "Begin with a line such as GET /v2 HTTP/1.1, its address percent-encoded and without spaces.",
    ),
    "no request line": ("The request begins with an empty line.", "Begin with a line such as GET /v2 HTTP/1.1."),
    "Illegal method": ("The method contains a character that HTTP does not allow.", "Use GET or POST."),
    "Illegal target": (
        "The address contains a character that HTTP does not allow.",
        "Percent-encode it, as curl --data-urlencode does.",
    ),
    "illegal header line": (
        "A header line is not of the form Name: value, or contains a character that HTTP does not allow.",
        "Send one Name: value per line, without a space before the colon.",
    ),
    "continuation line": ("The first header line begins with a space.", "Send one Name: value per line."),
    "conflicting Content-Length": ("Content-Length is given twice, with different values.", "Send it once."),
    "bad Content-Length": ("Content-Length is not a number of bytes.", "Send the body's size in bytes as digits."),
    "multiple Transfer-Encoding": (
        "Transfer-Encoding is given more than once.",
        "Send Transfer-Encoding: chunked once.",
    ),
    "Only Transfer-Encoding": (
        "Transfer-Encoding is not chunked.",
        "Send Content-Length, or Transfer-Encoding: chunked.",
    ),
    "malformed": _CHUNK,
    "illegal chunk": _CHUNK,
    "peer": ("The connection was closed before the request was complete.", "Send the whole request."),
}
_EMPTY_LINE = re.compile(rb"\n\r?\n")


def _head_of(ahead: bytearray) -> bytearray:
    """The part of a head received so far, without the empty line at its end."""
    end = _EMPTY_LINE.search(ahead)
    return ahead[: end.start() + 1] if end else ahead


class Parser(h11.Connection):
    """The events of a connection; ``refusal`` is the reason why it is refused, and ``remedy`` what to do about it."""

    refusal, remedy = "The request is not HTTP.", _AS_THE_RFC

    def __init__(self) -> None:
        super().__init__(h11.SERVER, HEAD_BYTES)
        self._chunks = self._bytes = 0
        #: Whether a request may be read; reset once one has been.
        self.may_begin = False

    @property
    def ahead(self) -> int:
        """Number of bytes received and not parsed yet."""
        return len(self._receive_buffer)

    @property
    def bodiless(self) -> bool:
        """Whether the reply must have no body, because the request is a HEAD."""
        return bool(self._request_method == b"HEAD")

    def forget(self) -> None:
        """Drops unread bytes, since a closed connection may stay in memory for a while."""
        self._receive_buffer = type(self._receive_buffer)()

    def next_event(self) -> Any:
        """As in h11, no request unless it ``may_begin``; ``RemoteProtocolError`` also beyond our bounds."""
        if self.their_state is h11.IDLE:
            if not self.may_begin:
                return h11.NEED_DATA
            if self._receive_buffer._data.startswith(b"\r\n"):  # some clients send one after a body (RFC 9112 2.2)
                self._receive_buffer.maybe_extract_at_most(2)
            if self._receive_buffer._data.startswith(_TLS):
                self._refuse("A TLS handshake was sent to a port of plain HTTP.", _PLAIN)
        size = len(self._receive_buffer)
        # h11's own buffer, not a copy: a head may arrive byte by byte.
        if self.their_state is h11.IDLE and _head_of(self._receive_buffer._data).count(b"\n") > HEAD_LINES:
            self._refuse(f"The head has more than {HEAD_LINES} lines.", _SMALLER)
        in_head = self.their_state is h11.IDLE
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == 431:
                if in_head:
                    self._refuse(_LARGE_HEAD, _SMALLER)
                self._refuse(f"The trailers or a chunk's line are larger than {HEAD_BYTES} bytes.", _SMALLER_LINES)
            why = (known for start, known in _KNOWN.items() if str(error).startswith(start))
            self._refuse(*next(why, (self.refusal, self.remedy)))
        if isinstance(event, h11.Request):
            return self._request(event, size - len(self._receive_buffer))
        if isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            if self._chunks > CHUNKS + self._bytes // CHUNK_BYTES:
                self._refuse(f"More than {CHUNKS} chunks of less than {CHUNK_BYTES} bytes.", "Send larger chunks.")
            self._bytes += len(event.data)
        return event

    def _request(self, request: h11.Request, size: int) -> h11.Request:
        names = [name for name, _ in request.headers]
        if size > HEAD_BYTES:
            self._refuse(_LARGE_HEAD, _SMALLER)
        if b"transfer-encoding" in names and (b"content-length" in names or request.http_version == b"1.0"):
            self._refuse(
                "Transfer-Encoding with Content-Length, or in HTTP/1.0.",
                "Send one of the two, and Transfer-Encoding only in HTTP/1.1.",
            )
        if request.http_version not in (b"1.0", b"1.1"):
            self._refuse("Only HTTP/1.0 and HTTP/1.1 are supported.", _GRPC if request.method == b"PRI" else _VERSIONS)
        self._chunks = self._bytes = 0
        self.may_begin = False
        if request.target.lower().startswith((b"http://", b"https://")):  # the absolute form (RFC 9112 3.2.2)
            try:
                url = urlsplit(request.target)
            except ValueError:
                self._refuse("The address is not a URL.", "Send the path only, such as GET /v2 HTTP/1.1.")
            object.__setattr__(request, "target", (url.path or b"/") + (b"?" + url.query if url.query else b""))
        return request

    def _refuse(self, why: str, remedy: str) -> NoReturn:
        self.refusal, self.remedy = why, remedy
        raise h11.RemoteProtocolError(why)
