"""HTTP connections with bounded heads: uvicorn counts neither the bytes nor the time of request line and headers."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Bytes of a request line and its headers, far above what any proxy adds.
HEAD_BYTES = 64 * 1024


class BoundedConnection(HttpToolsProtocol):
    """Closes a connection whose head is larger than ``HEAD_BYTES`` or takes longer than ``head_seconds`` to come."""

    head_seconds = 60.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head, self._head_bytes, self._piece_bytes = False, 0, 0
        self._head_timer: asyncio.TimerHandle | None = None

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
        super().data_received(data)
        self._head_bytes += len(data) if self._in_head else 0
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The headers are too large.")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head_ended()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_ended()
        self._in_head, self._head_bytes = True, -self._piece_bytes
        self._head_timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def _head_ended(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
