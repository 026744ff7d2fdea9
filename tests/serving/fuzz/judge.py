"""Whether a reply is a documented one, and what it cost."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.errors import CODES
from serving.rpc import _STATUS as GRPC
from tests.serving.attacks import forget_peak, memory_mb
from tests.serving.fuzz.doors import Reply, Request
from tests.serving.studies import PATIENT_ID, PATIENT_NAME

#: Of one request: seconds of processor, and megabytes of this process while it was answered.
MOST_SECONDS, MOST_MB = 2.0, 1024
GRPC_NAMES = {GRPC[status].name: codes for status, codes in CODES.items() if status in GRPC}


def fault_of(request: Request, reply: Reply) -> str:
    """What is wrong with a reply, "" where nothing is."""
    if PATIENT_ID.encode() in reply.body or PATIENT_NAME.encode() in reply.body:
        return "identity"
    if reply.status in (200, "OK"):
        return ""
    if request.kind == "good":
        return f"a good request is refused: {reply.status} {reply.body[:200]!r}"
    known = GRPC_NAMES.get(reply.status) if isinstance(reply.status, str) else CODES.get(reply.status)
    try:
        told = json.loads(reply.body)
        code, message = told["code"], told["error"]
    except (ValueError, KeyError, TypeError):
        return f"{reply.status} without a code"
    if known is None or code not in known:
        return f"{reply.status} {code} is not documented"
    return "" if message and "Traceback" not in message else f"{code} without a message"


class Watch(logging.Handler):
    """What one request costs, and the exceptions that nobody foresaw, by type and place."""

    def __init__(self) -> None:
        super().__init__()
        self._unforeseen: list[str] = []
        logging.getLogger("serving.errors").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps what the server logs of an unforeseen exception."""
        fields = getattr(record, "fields", {})
        if "exception" in fields:
            self._unforeseen.append(f"{fields['exception']} at {' < '.join(fields['at'][::-1])}")

    @contextmanager
    def one(self) -> Iterator[list[str]]:
        """Faults of the request in the block, known at its end."""
        faults: list[str] = []
        self._unforeseen.clear()
        pid = int(Path("/proc/self").readlink().name)
        forget_peak(pid)
        start = time.process_time()
        yield faults
        seconds, peak = time.process_time() - start, memory_mb(pid, "VmHWM")
        faults += [f"unforeseen {one}" for one in self._unforeseen]
        faults += ["more than 2 s of processor"] if seconds > MOST_SECONDS else []
        faults += ["more than 1 GiB of memory"] if peak > MOST_MB else []
