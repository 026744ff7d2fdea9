"""Which of many connections is served next, and which makes way."""

import asyncio
import collections
from collections.abc import Collection
from typing import Any, Protocol

from components.common.limits import BEGINNINGS
from serving.fair_queue import FairQueue


class Member(Protocol):
    """What is asked of a connection, and of it."""

    loop: asyncio.AbstractEventLoop
    #: When it began to wait for what it waits for.
    since: float

    @property
    def caller(self) -> str:
        """Whose share it takes from."""

    @property
    def ready(self) -> bool:
        """Whether a request, or the beginning of one, waits for its turn."""

    @property
    def may_end(self) -> bool:
        """Whether it is open and no request is at work."""

    def begin(self) -> None:
        """Its turn has come."""

    def abort(self) -> None:
        """It makes way."""


class Room:
    """How many connections there may be; beyond, one makes way, of the client with the most.

    First who lets us wait, the longest, then whose request has not begun. That order is looked for once in a turn of
    the event loop: dozens may come in one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._order: list[Member] | None = None

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
                one.abort()
                return True
        return False

    def _forget(self) -> None:
        self._order = None


def _last_makes_way(connections: Collection[Member]) -> list[Member]:
    """Those who may, in the order, from the end, in which they make way one after the other."""
    of_client = collections.Counter(one.caller for one in connections)
    turns: list[tuple[int, bool, float, int, Member]] = []
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
        self._waiting: FairQueue[Member] = FairQueue()
        self._called = False

    def join(self, connection: Member) -> None:
        """Has the connection begin when it is its turn."""
        self._waiting.add(connection.caller, connection)
        self._call(connection.loop)

    def leave(self, connection: Member) -> None:
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
