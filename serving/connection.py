"""HTTP/1.1 connections: bounded heads, chunks and trailers, and no caller waited for longer than it may take.

uvicorn reads by h11, which bounds what it keeps of a message that is not whole, reads one request at a time and takes
an offered upgrade for what it is, an offer. Added is what h11 leaves to others: time, small chunks, and framing in
which two servers may see different requests (RFC 9112 6.1).
"""

import asyncio
import collections
import math
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from components.common.limits import (
    BEGINNINGS,
    BODY_SECONDS,
    CHUNK_BYTES,
    CHUNKS,
    CONNECTIONS,
    HEAD_BYTES,
    HEAD_LINES,
    HEAD_SECONDS,
    READ_SECONDS,
)
from serving.shares import Lanes, client_of

_EMPTY_LINE = re.compile(rb"\n\r?\n")


def _head_of(ahead: bytearray) -> bytearray:
    """What there is of a head, without the empty line at its end."""
    end = _EMPTY_LINE.search(ahead)
    return ahead[: end.start() + 1] if end else ahead


class Parser(h11.Connection):
    """The events of a connection; ``refusal`` says why one ends."""

    refusal = "Invalid HTTP request received."

    def __init__(self) -> None:
        super().__init__(h11.SERVER, HEAD_BYTES)
        self._chunks = self._bytes = 0

    @property
    def ahead(self) -> int:
        """Bytes that have come and are not read yet."""
        return len(self._receive_buffer)

    def next_event(self) -> Any:
        """As in h11; ``RemoteProtocolError`` also beyond our bounds."""
        size = len(self._receive_buffer)
        # Its own bytes, not a copy: a head may come byte by byte.
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
            self._refuse("Only HTTP/1.0 and HTTP/1.1 are spoken.")
        self._chunks = self._bytes = 0
        if request.target.lower().startswith((b"http://", b"https://")):  # the absolute form (RFC 9112 3.2.2)
            url = urlsplit(request.target)
            object.__setattr__(request, "target", (url.path or b"/") + (b"?" + url.query if url.query else b""))
        return request

    def _refuse(self, why: str) -> None:
        self.refusal = why
        raise h11.RemoteProtocolError(why)


class Room:
    """How many connections there may be; beyond, one makes way, of the client with the most.

    First who lets us wait, the longest, then whose request has not begun. That order is looked for once in a turn of
    the event loop: dozens may come in one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._order: list[BoundedConnection] | None = None

    def make(self, connections: Collection[Any], loop: asyncio.AbstractEventLoop) -> bool:
        """Closes one where there is no room for another; False if all of them wait for an answer."""
        if len(connections) < self._most:
            return True
        if self._order is None:
            self._order = _last_makes_way(connections)
            loop.call_soon(self._forget)
        while self._order:
            one = self._order.pop()
            if one.may_end:
                one.line.abort()
                return True
        return False

    def _forget(self) -> None:
        self._order = None


def _last_makes_way(connections: Collection[Any]) -> list[Any]:
    """Those who may, in the order, from the end, in which they make way one after the other."""
    of_client = collections.Counter(one.caller for one in connections)
    turns: list[tuple[int, bool, float, int, Any]] = []
    for one in sorted((one for one in connections if one.may_end), key=lambda one: (one.ready, one.since)):
        turns.append((of_client[one.caller], not one.ready, -one.since, len(turns), one))
        of_client[one.caller] -= 1
    return [one for *_, one in sorted(turns)]


class Beginnings:
    """Lets few requests begin in one turn of the event loop, of clients in turn.

    Each takes a millisecond before it waits for anything, but one of each of hundreds of connections would hold up the
    event loop, and with it all that waits for its next turn. Whose caller is gone leaves.
    """

    def __init__(self) -> None:
        self._waiting: Lanes[BoundedConnection] = Lanes()
        self._called = False

    def join(self, connection: "BoundedConnection") -> None:
        """Has the connection begin when it is its turn."""
        self._waiting.add(connection.caller, connection)
        self._call(connection.loop)

    def leave(self, connection: "BoundedConnection") -> None:
        """Has it begin no more."""
        self._waiting.remove(connection.caller, connection)

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting and not self._called:
            self._called = True
            loop.call_soon(self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._called = False
        try:
            for _ in range(BEGINNINGS):
                if self._waiting:
                    self._waiting.pop().begin()
        finally:
            self._call(loop)


class BoundedConnection(H11Protocol):
    """A connection that always knows whom it waits for, and since when."""

    conn: Parser
    room: Room
    beginnings: Beginnings
    head_seconds: float
    body_seconds: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = Parser()
        self.line: asyncio.Transport
        self.since, self._state, self._unread = self.loop.time(), "", 0
        self._lingers = self._refused = False
        #: Whether a request, or the beginning of one, waits for its turn.
        self.ready = False
        self.caller = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Where there is no room for it, and nobody makes way, it ends."""
        room = self.room.make(self.connections, self.loop)
        self.line = transport
        super().connection_made(_Line(transport, self))  # type: ignore[arg-type]
        self.caller = client_of(self.client[0] if self.client else "")
        self.state()
        if not room:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Reads on; what comes behind a refused request is thrown away."""
        if not self._lingers:
            super().data_received(data)
            if self.ready and self.conn.ahead > HEAD_BYTES:
                self.transport.pause_reading()
            if self.state() == "body":
                self.since = self.loop.time()

    def handle_events(self) -> None:
        """Reads on; a request when it is its turn."""
        if self.conn.their_state is h11.IDLE and self.conn.ahead:
            self._unset_keepalive_if_required()
            self.ready = True
            self.beginnings.join(self)
        else:
            super().handle_events()

    def begin(self) -> None:
        """Reads the request whose turn it is."""
        self.ready = False
        if not self.line.is_closing():
            self.transport.resume_reading()
            super().handle_events()
            self.state()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets what has not begun."""
        self.beginnings.leave(self)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Answers what has come before it closes."""
        if self.ready:
            self.beginnings.leave(self)
            self.begin()
        super().shutdown()

    def on_response_complete(self) -> None:
        """Reads on, if the next request has not come yet."""
        super().on_response_complete()
        self.transport.resume_reading()
        self.state()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """What is no HTTP is answered at once and not read any further."""
        self._refused = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(self.conn.refusal)
        self.line.close()

    def finish(self) -> None:
        """Closes, where its body has not come yet only after its caller has (RFC 9112 9.6).

        Closed before, the connection would be reset, and the caller would not see why its body was refused.
        """
        if self._refused or self.conn.their_state is not h11.SEND_BODY:
            self.line.close()
        else:
            self._lingers = True
            self.line.write_eof()
            self.line.resume_reading()
        self.state()

    @property
    def may_end(self) -> bool:
        """Whether it is open and no request is at work."""
        return self.state() != "answer" and not self.line.is_closing()

    @property
    def ending(self) -> bool:
        """Whether nothing more is answered."""
        return self._lingers or self.line.is_closing()

    @property
    def read_ahead(self) -> bool:
        """Whether there is another request already behind the one at work."""
        return self.conn.their_state is h11.DONE and self.conn.ahead > 0

    def state(self) -> str:
        """What is waited for: of its caller a head, a body, or that an answer is read; nothing, or of us an answer."""
        unread = self.line.get_write_buffer_size()
        state = "reading" if unread else self._waits_for()
        if state != self._state or unread < self._unread:
            self.since = self.loop.time()
        self._state, self._unread = state, unread
        return state

    def _waits_for(self) -> str:
        if self.conn.their_state is h11.IDLE:
            return "head" if self.cycle is None or self.conn.ahead else "idle"
        if self._lingers or (self.conn.their_state is h11.SEND_BODY and self.conn.our_state is not h11.SEND_RESPONSE):
            return "rest"
        return "body" if self.conn.their_state is h11.SEND_BODY else "answer"

    def close_if_late(self, most_seconds: float) -> None:
        """Closes where its caller takes longer than it may; the time of a body is the application's to tell."""
        seconds = {"head": self.head_seconds, "rest": self.body_seconds, "reading": READ_SECONDS}
        state = self.state()
        if state != "answer" and self.loop.time() - self.since > min(seconds.get(state, math.inf), most_seconds):
            self.line.abort()


def bounded_connection(
    most: int = CONNECTIONS, head_seconds: float = HEAD_SECONDS, body_seconds: float = BODY_SECONDS
) -> type[BoundedConnection]:
    """The protocol of one server's connections, of which there are at most so many."""
    bounds = {"head_seconds": head_seconds, "body_seconds": body_seconds}
    return type("Connection", (BoundedConnection,), {**bounds, "room": Room(most), "beginnings": Beginnings()})


class _Line:
    """A transport whose end and whose reading the connection decides on."""

    def __init__(self, transport: asyncio.Transport, connection: BoundedConnection) -> None:
        self._transport, self._connection = transport, connection

    def close(self) -> None:
        self._connection.finish()

    def is_closing(self) -> bool:
        return self._connection.ending

    def resume_reading(self) -> None:
        if not self._connection.read_ahead:
            self._transport.resume_reading()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
