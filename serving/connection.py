"""HTTP/1.1 connections: bounded heads, upgrades ignored, and a refusal that its caller can read.

uvicorn counts neither the bytes nor the time of request line and headers. httptools takes a request that offers an
upgrade for one without a body, whoever accepts the offer; Java's clients offer h2c with each request over plain HTTP.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Bytes of a request line and its headers, far above what any proxy adds.
HEAD_BYTES = 64 * 1024


class BoundedConnection(HttpToolsProtocol):
    """Closes a connection whose head is larger than ``HEAD_BYTES`` or takes longer than ``head_seconds`` to come.

    No upgrade is accepted, so an offered one is ignored (RFC 9110 7.8) and the request answered in HTTP/1.1. A caller
    that asked to close the connection is answered at once too, and its connection is closed when its body has come:
    closed before, it would be reset, and the caller would never see why a body was refused.
    """

    head_seconds = 60.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head, self._head_bytes, self._piece_bytes = False, 0, 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._offers_upgrade = self._closes_after_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller that says nothing is not waited for either."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to wait for."""
        super().connection_lost(exc)
        self._head_ended()

    def data_received(self, data: bytes) -> None:
        """Counts what comes while a head is not whole; the piece in which it began is bounded by asyncio."""
        self._piece_bytes = len(data)
        self._unset_keepalive_if_required()
        pieces: list[bytes | memoryview] = [memoryview(data)]
        while pieces:
            pieces += self._feed(pieces.pop())
        if self.cycle is not None and self.cycle.response_complete and not self._in_head:
            self._await_more()
        self._head_bytes += len(data) if self._in_head else 0
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The headers are too large.")

    def _await_more(self) -> None:
        """Waits as long for the rest of a body that was answered before it had come as for a head."""
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.head_seconds, self.timeout_keep_alive_handler)

    def _feed(self, piece: bytes | memoryview) -> list[bytes | memoryview]:
        """Parses a piece; returns what is to be parsed next, the last first."""
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserError:
            if not self.transport.is_closing():
                self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade as upgrade:
            if self._offers_upgrade:
                return [piece[upgrade.args[0] :], self._head_without_upgrade()]
        return []

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % (name, value) for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """The head is whole; one that offers an upgrade is parsed once more, without the offer."""
        self._head_ended()
        self._offers_upgrade = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if not self._offers_upgrade:
            super().on_headers_complete()
            self._closes_after_body = not self.cycle.keep_alive
            self.cycle.keep_alive = True

    def on_message_complete(self) -> None:
        """The body is whole."""
        if self._offers_upgrade:
            return
        super().on_message_complete()
        if self._closes_after_body:
            self.cycle.keep_alive = False
            if self.cycle.response_complete:
                self.transport.close()

    def _await_head(self) -> None:
        self._head_ended()
        self._in_head, self._head_bytes = True, -self._piece_bytes
        self._head_timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def _head_ended(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
