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

_EMPTY_LINE = re.compile(rb"\n\r?\n")


def _head_of(ahead: bytearray) -> bytearray:
    """The part of a head received so far, without the empty line at its end."""
    end = _EMPTY_LINE.search(ahead)
    return ahead[: end.start() + 1] if end else ahead


class Parser(h11.Connection):
    """The events of a connection; ``refusal`` is the reason why it is refused."""

    refusal = "Invalid HTTP request received."

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
        size = len(self._receive_buffer)
        # h11's own buffer, not a copy: a head may arrive byte by byte.
        if self.their_state is h11.IDLE and _head_of(self._receive_buffer._data).count(b"\n") > HEAD_LINES:
            self._refuse(f"The head has more than {HEAD_LINES} lines.")
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == 431:
                self._refuse(f"Headers, trailers or a chunk's line are larger than {HEAD_BYTES} bytes.")
            raise
        if isinstance(event, h11.Request):
            return self._request(event, size - len(self._receive_buffer))
        if isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            if self._chunks > CHUNKS + self._bytes // CHUNK_BYTES:
                self._refuse(f"More than {CHUNKS} chunks of less than {CHUNK_BYTES} bytes.")
            self._bytes += len(event.data)
        return event

    def _request(self, request: h11.Request, size: int) -> h11.Request:
        names = [name for name, _ in request.headers]
        if size > HEAD_BYTES:
            self._refuse(f"The headers are larger than {HEAD_BYTES} bytes.")
        if b"transfer-encoding" in names and (b"content-length" in names or request.http_version == b"1.0"):
            self._refuse("Transfer-Encoding with Content-Length, or in HTTP/1.0.")
        if request.http_version not in (b"1.0", b"1.1"):
            self._refuse("Only HTTP/1.0 and HTTP/1.1 are supported.")
        self._chunks = self._bytes = 0
        self.may_begin = False
        if request.target.lower().startswith((b"http://", b"https://")):  # the absolute form (RFC 9112 3.2.2)
            try:
                url = urlsplit(request.target)
            except ValueError:
                self._refuse("The address is not a URL.")
            object.__setattr__(request, "target", (url.path or b"/") + (b"?" + url.query if url.query else b""))
        return request

    def _refuse(self, why: str) -> NoReturn:
        self.refusal = why
        raise h11.RemoteProtocolError(why)
