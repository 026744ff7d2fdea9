"""Checks that a reply is documented, and measures its cost."""

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

from serving.errors import CODES
from serving.rpc import _STATUS as GRPC
from tests.serving.attacks import forget_peak, memory_mb
from tests.serving.documented import undocumented
from tests.serving.fuzz.entry_points import Reply, Request
from tests.serving.studies import PATIENT_ID, PATIENT_NAME

#: Of one request: seconds of processor, and megabytes more than before it: an idle server has 300 of its 1,024.
MOST_SECONDS, MOST_MB = 2.0, 700
GRPC_NAMES = {GRPC[status].name: codes for status, codes in CODES.items() if status in GRPC}


def fault_of(request: Request, reply: Reply) -> str:
    """The fault of a reply; "" if it has none."""
    if PATIENT_ID.encode() in reply.body or PATIENT_NAME.encode() in reply.body:
        return "identity"
    if request.kind == "good" and reply.status not in (200, "OK"):
        return f"a good request is refused: {reply.status} {reply.body[:200]!r}"
    if reply.status == 500 or b"Traceback" in reply.body:
        return f"{reply.status} {reply.body[:200]!r}"
    if request.grpc:
        return "" if reply.status == "OK" else _fault_of_call(reply)
    return undocumented(request.method, unquote(request.target), int(reply.status), reply.headers, reply.body)


def _fault_of_call(reply: Reply) -> str:
    try:
        code = json.loads(reply.body)["code"]
    except (ValueError, KeyError, TypeError):
        return f"{reply.status} without a code"
    return "" if code in GRPC_NAMES.get(str(reply.status), ()) else f"{reply.status} {code} is not documented"


def spent_seconds() -> float:
    """Processor time of this process and of its workers, including their ended children."""
    pids = {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


class Watch(logging.Handler):
    """Measures the cost of one request, and records unexpected exceptions by type and line."""

    def __init__(self) -> None:
        super().__init__()
        self._unforeseen: list[str] = []
        logging.getLogger("serving.errors").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Records the server's log of an unexpected exception."""
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
        start, before = spent_seconds(), memory_mb(pid)
        yield faults
        seconds, growth = spent_seconds() - start, memory_mb(pid, "VmHWM") - before
        faults += [f"unforeseen {one}" for one in self._unforeseen]
        faults += ["more than 2 s of processor"] if seconds > MOST_SECONDS else []
        faults += [f"more than {MOST_MB} MiB of memory"] if growth > MOST_MB else []
