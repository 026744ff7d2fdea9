"""How what is scarce is divided among callers. All of it runs on the event loop."""

import asyncio
import collections
import contextlib
import ipaddress
from collections.abc import AsyncIterator

from components.common.limits import PATIENCE_SECONDS, SHARE_ALPHA
from serving.errors import busy


def client_of(host: str) -> str:
    """Whose share a request takes from: an IPv4 address, or the network of 64 bits that an IPv6 address is of."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


class Share:
    """Something of which there is ``total``, under a dynamic threshold.

    A client may hold at most ``SHARE_ALPHA`` times what is free: alone it gets nearly all, and there is always some
    left for the next (Choudhury and Hahne 1998, IEEE/ACM Transactions on Networking 6, 130). Who holds nothing may
    take all that is free.
    """

    def __init__(self, total: int) -> None:
        self.total, self.taken = total, 0
        self._of: collections.Counter[str] = collections.Counter()

    def of(self, client: str) -> int:
        """What a client holds."""
        return self._of[client]

    def allows(self, client: str, count: int) -> bool:
        """Whether a client may take ``count`` more."""
        left, held = self.total - self.taken - count, self._of[client]
        return left >= 0 and (held == 0 or held + count <= SHARE_ALPHA * left)

    def take(self, client: str, count: int) -> None:
        """Takes what is allowed; a negative ``count`` gives back."""
        self.taken += count
        self._of[client] += count
        if not self._of[client]:
            del self._of[client]


class Wait:
    """Something that a caller is waited for, which may have to make way for another's."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.since = asyncio.get_running_loop().time()
        self.made_way = False
        self._limit = asyncio.timeout(None)

    @contextlib.asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Waits inside the block: ``BUSY`` where it makes way, ``TimeoutError`` after the seconds."""
        try:
            async with self._limit:
                self.extend(seconds)
                yield
        except TimeoutError:
            if self.made_way:
                raise busy() from None
            raise

    def extend(self, seconds: float) -> None:
        """Waits for so many seconds from now."""
        if not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + seconds)

    def make_way(self) -> None:
        """Waits no longer."""
        self.made_way = True
        self.extend(0)


class Places:
    """Places for messages that are on their way, of which nothing can be seen until they are whole.

    Of the calls of one client the newest goes first, since who has waited long has sent nothing for long. While calls
    wait, the oldest message of the client with the most makes way, after ``PATIENCE_SECONDS``.
    """

    def __init__(self, count: int, most_waiting: int) -> None:
        self._count, self._most_waiting = count, most_waiting
        self._held: list[Wait] = []
        self._waiting: dict[Wait, asyncio.Event] = {}
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def place(self, client: str, seconds: float) -> AsyncIterator[None]:
        """A place, for so many seconds with the waiting; raises as ``Wait.within``."""
        wait = Wait(client)
        called = self._waiting[wait] = asyncio.Event()
        try:
            async with wait.within(seconds):
                if len(self._waiting) > self._most_waiting:
                    next(iter(self._waiting)).make_way()
                self._let_in()
                await called.wait()
                yield
        finally:
            self._waiting.pop(wait, None)
            if wait in self._held:
                self._held.remove(wait)
            self._let_in()

    def clear(self) -> None:
        """All make way."""
        for wait in (*self._held, *self._waiting):
            wait.make_way()

    def _let_in(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._waiting and len(self._held) < self._count:
            held = collections.Counter(one.client for one in self._held)
            wait = min(reversed(self._waiting), key=lambda one: held[one.client])
            wait.since = now
            self._held.append(wait)
            self._waiting.pop(wait).set()
        if self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(self._held[0].since + PATIENCE_SECONDS, self._make_way)

    def _make_way(self) -> None:
        self._timer = None
        before = asyncio.get_running_loop().time() - PATIENCE_SECONDS
        old = [wait for wait in self._held if wait.since <= before and not wait.made_way]
        if self._waiting and old:
            held = collections.Counter(one.client for one in self._held)
            max(old, key=lambda one: held[one.client]).make_way()
        else:
            self._let_in()
