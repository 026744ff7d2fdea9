"""Limits the number of connections, closes one in favour of another, and decides whose request starts next."""

import asyncio
import collections
from collections.abc import Collection
from typing import Any, Protocol

from components.common.limits import REQUEST_STARTS
from serving.fair_queue import FairQueue


class Connection(Protocol):
    """The interface of a connection that both classes below need."""

    loop: asyncio.AbstractEventLoop
    #: Time at which it entered its present state, by the event loop's clock, seconds.
    since: float

    @property
    def caller(self) -> str:
        """The client to which it is attributed."""

    @property
    def ready(self) -> bool:
        """Whether a request, or the first bytes of one, waits to be started."""

    @property
    def may_end(self) -> bool:
        """Whether it is open and none of its requests is being processed."""

    def start_request(self) -> None:
        """Parses and handles the waiting request."""

    def abort(self) -> None:
        """Closes it at once."""


class ConnectionLimit:
    """A limit on open connections; beyond it, a connection of the client with the most connections is closed.

    The first to be closed is the one for whose caller the server has waited longest, then one whose request has not
    been started. The order is computed once per iteration of the event loop, which may accept dozens.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._order: list[Connection] | None = None

    def admit(self, connections: Collection[Any], loop: asyncio.AbstractEventLoop) -> bool:
        """Whether another connection is allowed, for which one is closed if necessary; False if all await an answer."""
        if len(connections) < self._most:
            return True
        if self._order is None:
            self._order = _closed_last_first(connections)
            loop.call_soon(self._forget)
        while self._order:
            one = self._order.pop()
            if one.may_end:
                one.abort()
                return True
        return False

    def _forget(self) -> None:
        self._order = None


def _closed_last_first(connections: Collection[Connection]) -> list[Connection]:
    """Those that may be closed, the first to be closed at the end."""
    of_client = collections.Counter(one.caller for one in connections)
    ranked: list[tuple[int, bool, float, int, Connection]] = []
    for one in sorted((one for one in connections if one.may_end), key=lambda one: (one.ready, one.since)):
        ranked.append((of_client[one.caller], not one.ready, -one.since, len(ranked), one))
        of_client[one.caller] -= 1
    return [one for *_, one in sorted(ranked)]


class StartQueue:
    """Starts few requests in one iteration of the event loop, round-robin among clients.

    Each takes about a millisecond before it first awaits anything: one from each of hundreds of connections would block
    the event loop for everybody else.
    """

    def __init__(self) -> None:
        self._waiting: FairQueue[Connection] = FairQueue()
        self._scheduled = False

    def add(self, connection: Connection) -> None:
        """Queues the connection's request."""
        self._waiting.add(connection.caller, connection)
        self._schedule(connection.loop)

    def remove(self, connection: Connection) -> None:
        """Removes the connection, if it is queued."""
        self._waiting.remove(connection.caller, connection)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._start_some, loop)

    def _start_some(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = False
        try:
            for _ in range(REQUEST_STARTS):
                if self._waiting:
                    self._waiting.pop().start_request()
        finally:
            self._schedule(loop)
