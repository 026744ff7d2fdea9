"""HTTP/1.1 connections: each wait for a caller has a time limit, and requests start round-robin among clients."""

import asyncio
import json
import logging
import math
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from components.common.errors import InputError
from components.common.limits import BODY_SECONDS, CONNECTIONS, HEAD_BYTES, HEAD_SECONDS, READ_SECONDS
from components.common.pages import REPLY_HEADERS
from serving.connection_limit import ConnectionLimit, StartQueue
from serving.errors import Problem
from serving.parser import Parser
from serving.quotas import client_of

log = logging.getLogger(__name__)


class BoundedConnection(H11Protocol):
    """A connection that records what it is waiting for, and since when."""

    conn: Parser
    limit: ConnectionLimit
    starts: StartQueue
    head_seconds: float
    body_seconds: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = Parser()
        self.line: asyncio.Transport
        self.since, self._state, self._unread = self.loop.time(), "", 0
        self._lingers = self._refused = False
        #: Whether a request, or the first bytes of one, waits to be started.
        self.ready = False
        self.caller = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Closes at once if the limit is reached and no other connection can be closed instead."""
        admitted = self.limit.admit(self.connections, self.loop)
        self.line = transport
        super().connection_made(_Line(transport, self))  # type: ignore[arg-type]
        self.caller = client_of(self.client[0] if self.client else "")
        self.state()
        if not admitted:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Continues reading; bytes after a refused or the last request are discarded."""
        if not self._lingers and self.conn.their_state is not h11.MUST_CLOSE:
            super().data_received(data)
            if self.full:
                self.transport.pause_reading()
            if self.state() == "body":
                self.since = self.loop.time()

    def handle_events(self) -> None:
        """Handles further events; a request only once it is started."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            return
        if self.conn.ahead:
            self._unset_keepalive_if_required()
            self.ready = True
            self.starts.add(self)
        elif self.cycle and self.timeout_keep_alive_task is None:  # the rest of a refused body has arrived
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def start_request(self) -> None:
        """Reads the request that has waited to be started."""
        self.ready = False
        if self.line.is_closing():
            return
        self.transport.resume_reading()
        self.conn.may_begin = True
        try:
            super().handle_events()
            self.state()
        except Exception:
            self.abort()
            raise
        finally:
            self.conn.may_begin = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Drops what has not been started."""
        self.starts.remove(self)
        self.conn.forget()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Answers what was received before it closes; a failure ends this connection alone."""
        try:
            if self.ready:
                self.starts.remove(self)
                self.start_request()
            super().shutdown()
        except Exception:
            log.exception("a connection could not be shut down")
            self.abort()

    def on_response_complete(self) -> None:
        """Continues reading, if the next request has not arrived yet."""
        super().on_response_complete()
        self.transport.resume_reading()
        self.state()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Replies at once to a request that is not HTTP, and reads no further."""
        self._refused = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in _refusal(self.conn.refusal, self.conn.remedy, bodiless=self.conn.bodiless):
                self.line.write(self.conn.send(event))
        self.line.close()

    def finish(self) -> None:
        """Closes, but waits for the caller to close first while a body is still being sent (RFC 9112 9.6).

        Otherwise the connection would be reset, and the caller would not see why its body was refused.
        """
        if self._refused or self.conn.their_state is not h11.SEND_BODY:
            self.line.close()
        else:
            self._lingers = True
            self.line.write_eof()
            self.line.resume_reading()
        self.state()

    def abort(self) -> None:
        """Closes the connection at once."""
        self.line.abort()

    @property
    def may_end(self) -> bool:
        """Whether it is open and none of its requests is being processed."""
        at_work = self.conn.our_state is h11.SEND_RESPONSE and self.conn.their_state is not h11.SEND_BODY
        return not at_work and not self.line.is_closing()

    @property
    def ending(self) -> bool:
        """Whether no further request is answered."""
        return self._lingers or self.line.is_closing()

    @property
    def full(self) -> bool:
        """Whether another request is buffered behind the one in progress, or a full head of one that waits."""
        if self.conn.their_state is h11.DONE:
            return self.conn.ahead > 0
        return self.ready and self.conn.ahead > HEAD_BYTES

    def state(self) -> str:
        """What it waits for: its caller (head, body, rest of a refused body, reading), our reply, or nothing (idle)."""
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
        """Closes if its caller exceeds the time limit; for a body, the application enforces the limit."""
        seconds = {"head": self.head_seconds, "rest": self.body_seconds, "reading": READ_SECONDS}
        state = self.state()
        if state != "answer" and self.loop.time() - self.since > min(seconds.get(state, math.inf), most_seconds):
            self.abort()


def bounded_connection(
    most: int = CONNECTIONS, head_seconds: float = HEAD_SECONDS, body_seconds: float = BODY_SECONDS
) -> type[BoundedConnection]:
    """The protocol class of one server's connections, with their shared limit."""
    bounds = {"head_seconds": head_seconds, "body_seconds": body_seconds}
    return type("Connection", (BoundedConnection,), {**bounds, "limit": ConnectionLimit(most), "starts": StartQueue()})


def _refusal(why: str, remedy: str, *, bodiless: bool) -> list[h11.Response | h11.Data | h11.EndOfMessage]:
    """The reply to a request that is not HTTP and therefore reaches no route."""
    problem = Problem.of(InputError("HTTP_INVALID", why, remedy))
    body = json.dumps(problem.to_dict()).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    lines = list((REPLY_HEADERS | headers).items())
    response = h11.Response(status_code=problem.status, headers=lines, reason=b"Bad Request")
    return [response, *([] if bodiless else [h11.Data(body)]), h11.EndOfMessage()]


class _Line:
    """A transport that leaves closing and reading to the connection."""

    def __init__(self, transport: asyncio.Transport, connection: BoundedConnection) -> None:
        self._transport, self._connection = transport, connection

    def close(self) -> None:
        self._connection.finish()

    def is_closing(self) -> bool:
        return self._connection.ending

    def resume_reading(self) -> None:
        if not self._connection.full:
            self._transport.resume_reading()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
