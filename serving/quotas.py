"""Divides scarce resources among clients. Everything runs on the event loop."""

import asyncio
import collections
import contextlib
import ipaddress
from collections.abc import AsyncIterator

from components.common.limits import CLIENT_SHARE_OF_FREE, PATIENCE_SECONDS
from serving.errors import busy


def client_of(host: str) -> str:
    """The client to which a request is attributed: an IPv4 address, or the 64-bit network of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


class Quota:
    """A resource of ``total`` units, divided by a dynamic threshold.

    A client may hold at most ``CLIENT_SHARE_OF_FREE`` times what is free: alone it gets nearly all, and some is always
    left for the next (Choudhury and Hahne 1998, IEEE/ACM Transactions on Networking 6, 130). A client that holds
    nothing may take all that is free.
    """

    def __init__(self, total: int) -> None:
        self.total, self.taken = total, 0
        self._of: collections.Counter[str] = collections.Counter()

    def of(self, client: str) -> int:
        """Units that a client holds."""
        return self._of[client]

    def allows(self, client: str, count: int) -> bool:
        """Whether a client may take ``count`` more."""
        left, held = self.total - self.taken - count, self._of[client]
        return left >= 0 and (held == 0 or held + count <= CLIENT_SHARE_OF_FREE * left)

    def take(self, client: str, count: int) -> None:
        """Takes ``count`` units, which must be allowed; a negative ``count`` gives units back."""
        self.taken += count
        self._of[client] += count
        if not self._of[client]:
            del self._of[client]


class Wait:
    """A wait for a caller, which can be ended in favour of another's."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.since = asyncio.get_running_loop().time()
        self.evicted = False
        self._limit = asyncio.timeout(None)

    @contextlib.asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Limits the time of the block: raises ``BUSY`` if it is evicted, ``TimeoutError`` after the seconds."""
        try:
            async with self._limit:
                self.extend(seconds)
                yield
        except TimeoutError:
            if self.evicted:
                raise busy() from None
            raise

    def extend(self, seconds: float) -> None:
        """Sets the end of the wait to ``seconds`` from now."""
        if not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + seconds)

    def evict(self) -> None:
        """Ends the wait with ``BUSY``."""
        self.evicted = True
        self.extend(0)


class MessageSlots:
    """Slots for messages that are being received; gRPC shows nothing of a message until it is complete.

    A client's newest call is received first, since the oldest has sent nothing for the longest time. While calls
    wait, the oldest message of the client with the most slots is evicted, after ``PATIENCE_SECONDS``.
    """

    def __init__(self, count: int, most_waiting: int) -> None:
        self._count, self._most_waiting = count, most_waiting
        self._held: list[Wait] = []
        self._waiting: dict[Wait, asyncio.Event] = {}
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def slot(self, client: str, seconds: float) -> AsyncIterator[None]:
        """Holds a slot in the block, for at most ``seconds`` including the wait; raises as ``Wait.within``."""
        wait = Wait(client)
        granted = self._waiting[wait] = asyncio.Event()
        try:
            async with wait.within(seconds):
                if len(self._waiting) > self._most_waiting:
                    next(iter(self._waiting)).evict()
                self._grant()
                await granted.wait()
                yield
        finally:
            self._waiting.pop(wait, None)
            if wait in self._held:
                self._held.remove(wait)
            self._grant()

    def clear(self) -> None:
        """Evicts all waits."""
        for wait in (*self._held, *self._waiting):
            wait.evict()

    def _grant(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._waiting and len(self._held) < self._count:
            held = collections.Counter(one.client for one in self._held)
            wait = min(reversed(self._waiting), key=lambda one: held[one.client])
            wait.since = now
            self._held.append(wait)
            self._waiting.pop(wait).set()
        if self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(self._held[0].since + PATIENCE_SECONDS, self._evict_oldest)

    def _evict_oldest(self) -> None:
        self._timer = None
        before = asyncio.get_running_loop().time() - PATIENCE_SECONDS
        old = [wait for wait in self._held if wait.since <= before and not wait.evicted]
        if self._waiting and old:
            held = collections.Counter(one.client for one in self._held)
            max(old, key=lambda one: held[one.client]).evict()
        else:
            self._grant()
