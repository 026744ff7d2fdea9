"""Limits on the size and duration of requests, and admission control; refused bodies are never held in memory."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager

from components.common.errors import InputError
from components.common.limits import (
    BODIES,
    BODY_SECONDS,
    LARGE_BODY_BYTES,
    MAX_BINARY_BODY_BYTES,
    MAX_JSON_BODY_BYTES,
    MIB,
    PACE_BYTES,
    PACE_SECONDS,
    PATIENCE_SECONDS,
    REQUESTS,
    STUCK_SECONDS,
)
from serving import telemetry
from serving.content import Buffer, is_packed
from serving.errors import busy
from serving.payload import is_zip_type
from serving.quotas import Quota, Wait

_LESS = "Send a study's RTSTRUCT and the CT slices around the tumours only."


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request.

    Parameters
    ----------
    binary_bytes
        Largest body with binary tensors, and largest zip.
    json_bytes
        Largest other body, and largest gRPC message: both take several times their size in memory.
    seconds
        Time limit for a request's headers, and then for its body.
    """

    binary_bytes: int = MAX_BINARY_BODY_BYTES
    json_bytes: int = MAX_JSON_BODY_BYTES
    seconds: float = BODY_SECONDS

    def of(self, content_type: str, binary_header: bool, start: Buffer = b"") -> int:
        """The limit in bytes of a body with these headers, and these first bytes if some have arrived."""
        packed = is_zip_type(content_type) or is_packed(start)
        return self.binary_bytes if binary_header or packed else self.json_bytes

    @staticmethod
    def too_large(most: int, size: int) -> InputError:
        """``BODY_TOO_LARGE``, naming the limit, and the body's size in bytes if it is known (else 0)."""
        message = f"the body may have at most {most / MIB:g} MiB"
        message += f", and this one has {size / MIB:.1f} MiB" if size else ""
        hint = f"{_LESS} JSON has a smaller limit than a zip"
        hint += " as the body, and than binary tensors (V2, with the header Inference-Header-Content-Length)."
        return InputError("BODY_TOO_LARGE", message, hint)

    def too_slow(self) -> InputError:
        """``BODY_SLOW``, naming the limit."""
        pace = f"{PACE_BYTES // 1024} KiB per {PACE_SECONDS:g} s"
        return InputError(
            "BODY_SLOW", f"the body did not arrive within {self.seconds:g} s, or at less than {pace}", _LESS
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """Limits of all requests together, and time limits of the shutdown.

    Parameters
    ----------
    most_requests, most_bytes
        Largest number of requests accepted and not answered yet, and of bytes held for bodies, also of incoming ones.
    linger_seconds
        Seconds after SIGTERM in which the server is not ready but still answers, since load balancers still send.
    grace_seconds
        Seconds after that to finish the accepted requests.
    stuck_seconds
        Seconds without any finished job, although there are some, after which the server reports that it is not alive.
    """

    most_requests: int = REQUESTS
    most_bytes: int = BODIES * MAX_BINARY_BODY_BYTES
    linger_seconds: float = 2.0
    grace_seconds: float = 25.0
    stuck_seconds: float = STUCK_SECONDS


class Admission:
    """Admission control of all protocols; used on the event loop only.

    A body that is still being received holds its bytes and no more. Once it is whole the request also holds a slot,
    until it is answered.
    """

    def __init__(self, load: Load) -> None:
        self._slots, self._bytes = Quota(load.most_requests), Quota(load.most_bytes)
        self._coming: set[Ticket] = set()
        #: Set when the server is about to stop: replies tell callers to use another connection.
        self.closing = False

    @property
    def at_work(self) -> int:
        """Requests accepted and not answered yet."""
        return self._slots.taken

    @contextmanager
    def request(self, client: str) -> Iterator["Ticket"]:
        """A request until the block ends; raises ``BUSY`` at once if there is no slot for it."""
        ticket = Ticket(self, client)
        if not self._slots.allows(client, 1):
            raise busy()
        try:
            yield ticket
        finally:
            self._release(ticket)

    def refuse_coming(self) -> None:
        """Refuses the bodies that are still being received."""
        for ticket in self._coming:
            ticket.wait.evict()

    def _hold(self, ticket: "Ticket", count: int) -> None:
        while not self._bytes.allows(ticket.client, count):
            self._evict_for(ticket)
        self._bytes.take(ticket.client, count)
        ticket.bytes += count
        telemetry.BYTES_HELD.set(self._bytes.taken)

    def _evict_for(self, ticket: "Ticket") -> None:
        """Evicts the slowest body of the client that holds the most bytes; ``BUSY`` if none is slow."""
        before = asyncio.get_running_loop().time() - PATIENCE_SECONDS
        slow = [one for one in self._coming if one.bytes and one is not ticket and one.wait.since < before]
        if not slow:
            raise busy()
        slowest = max(slow, key=lambda one: (self._bytes.of(one.client), -one.wait.since))
        self._release(slowest)
        slowest.wait.evict()

    def _release(self, ticket: "Ticket") -> None:
        self._bytes.take(ticket.client, -ticket.bytes)
        self._slots.take(ticket.client, -ticket.slots)
        ticket.bytes = ticket.slots = 0
        telemetry.BYTES_HELD.set(self._bytes.taken)
        telemetry.IN_FLIGHT.set(self._slots.taken)

    def _take_slot(self, ticket: "Ticket") -> None:
        if not self._slots.allows(ticket.client, 1):
            raise busy()
        ticket.slots = 1
        self._slots.take(ticket.client, 1)
        telemetry.IN_FLIGHT.set(self._slots.taken)


class Ticket:
    """One request: the bytes of its body while it is received, then its slot."""

    def __init__(self, admission: Admission, client: str) -> None:
        self._admission, self.client = admission, client
        self.bytes = self.slots = self._fresh = 0
        self.wait = Wait(client)
        self._end: float | None = None

    @asynccontextmanager
    async def receiving(self, limits: Limits) -> AsyncIterator[None]:
        """Counts the body received inside the block; raises ``BODY_SLOW``, or ``BUSY`` if it is evicted."""
        self._end = asyncio.get_running_loop().time() + limits.seconds
        self._admission._coming.add(self)
        try:
            async with self.wait.within(min(limits.seconds, PACE_SECONDS)):
                yield
        except TimeoutError:
            raise limits.too_slow() from None
        finally:
            self._admission._coming.discard(self)

    def hold(self, count: int) -> None:
        """Takes ``count`` more bytes; raises ``BUSY`` if all are taken."""
        if self.wait.evicted:
            raise busy()
        self._admission._hold(self, count)
        self._fresh += count
        if self._end is not None and self._fresh >= PACE_BYTES:
            self._fresh, self.wait.since = 0, asyncio.get_running_loop().time()
            self.wait.extend(min(PACE_SECONDS, self._end - self.wait.since))

    def take_slot(self) -> None:
        """Takes a slot for a request whose body is complete; raises ``BUSY`` if all are taken."""
        self._admission._take_slot(self)

    @property
    def lane(self) -> Hashable:
        """Its queue for a worker: one for each client, and another for the client's large bodies."""
        return self.client, self.bytes >= LARGE_BODY_BYTES
