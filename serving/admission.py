"""How much is let in at once: requests and bytes of bodies. What is beyond is refused early with 503."""

from collections.abc import Iterator
from contextlib import contextmanager

from serving import metrics
from serving.errors import Refused


class Admission:
    """Counts requests at work and bytes held for them; used on the event loop only.

    Parameters
    ----------
    most_requests
        Requests accepted and not answered yet, of all protocols.
    most_bytes
        Bytes of their bodies.
    """

    def __init__(self, most_requests: int, most_bytes: int) -> None:
        self._most_requests, self._most_bytes = most_requests, most_bytes
        self._requests = self._bytes = 0

    @contextmanager
    def request(self) -> Iterator["Ticket"]:
        """A place for one request until the block ends; ``BUSY`` where there is none."""
        if self._requests >= self._most_requests:
            raise _busy()
        ticket = Ticket(self)
        self._requests += 1
        metrics.IN_FLIGHT.set(self._requests)
        try:
            yield ticket
        finally:
            self._requests -= 1
            self._hold(-ticket.bytes)
            metrics.IN_FLIGHT.set(self._requests)

    def _hold(self, count: int) -> None:
        if count > 0 and self._bytes + count > self._most_bytes:
            raise _busy()
        self._bytes += count
        metrics.BYTES_HELD.set(self._bytes)


class Ticket:
    """One request's place."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.bytes = 0

    def hold(self, count: int) -> None:
        """Takes ``count`` more bytes; ``BUSY`` where all are taken."""
        self._admission._hold(count)
        self.bytes += count


def _busy() -> Refused:
    return Refused("BUSY", "the server has as much to do as it accepts", "Ask again after the seconds of Retry-After.")
