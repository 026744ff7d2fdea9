"""How large and slow a request may be, and how much is let in at once. What is beyond is refused before it is kept."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

from components.common.errors import InputError
from components.common.limits import MAX_BINARY_BODY_BYTES, MAX_JSON_BODY_BYTES, MIB
from serving import telemetry
from serving.content import Buffer, is_packed
from serving.errors import Refused
from serving.payload import is_zip_type


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request.

    Parameters
    ----------
    binary_bytes
        Of a body with binary tensors, and of a zip.
    json_bytes
        Of any other body, and of a gRPC message: both take several times their size in memory.
    seconds
        In which a request's headers, and then its body, must come.
    """

    binary_bytes: int = MAX_BINARY_BODY_BYTES
    json_bytes: int = MAX_JSON_BODY_BYTES
    seconds: float = 60.0

    def of(self, content_type: str, binary_header: bool, start: Buffer = b"") -> int:
        """The limit in bytes of a body with these headers, and these first bytes where some have come."""
        packed = is_zip_type(content_type) or is_packed(start)
        return self.binary_bytes if binary_header or packed else self.json_bytes

    @staticmethod
    def too_large(most: int, size: int) -> InputError:
        """``BODY_TOO_LARGE``, naming the limit, and the body's size in bytes where it is known (else 0)."""
        message = f"the body may have at most {most / MIB:g} MiB"
        message += f", and this one has {size / MIB:.1f} MiB" if size else ""
        hint = (
            "Send a study's RTSTRUCT and the CT slices around the tumours only. JSON has a smaller limit than a zip as"
        )
        hint += " as the body, and than binary tensors (V2, with the header Inference-Header-Content-Length)."
        return InputError("BODY_TOO_LARGE", message, hint)

    def too_slow(self) -> InputError:
        """``BODY_SLOW``, naming the limit."""
        return InputError("BODY_SLOW", f"the body did not come within {self.seconds:g} s")


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
        #: Set when the server is about to end: callers are told to come back by another connection.
        self.closing = False

    @contextmanager
    def request(self) -> Iterator["Ticket"]:
        """A place for one request until the block ends; ``BUSY`` where there is none."""
        if self._requests >= self._most_requests:
            raise _busy()
        ticket = Ticket(self)
        self._requests += 1
        telemetry.IN_FLIGHT.set(self._requests)
        try:
            yield ticket
        finally:
            self._requests -= 1
            self._hold(-ticket.bytes)
            telemetry.IN_FLIGHT.set(self._requests)

    def _hold(self, count: int) -> None:
        if count > 0 and self._bytes + count > self._most_bytes:
            raise _busy()
        self._bytes += count
        telemetry.BYTES_HELD.set(self._bytes)


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
