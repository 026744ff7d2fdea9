"""Prometheus metrics, and logs of one JSON object a line. Neither ever holds a patient's identity."""

import asyncio
import collections
import json
import logging
import math
import traceback
import warnings
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from components.common.contained import Failed

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)

LATENCY = Histogram("srs_request_seconds", "Time from the complete body to the reply", ["protocol"], buckets=_SECONDS)
QUEUE = Histogram("srs_queue_seconds", "Time that a complete request waited for a worker", buckets=_SECONDS)
REQUESTS = Counter("srs_requests", "Requests answered or refused", ["protocol", "status", "code"])
IN_FLIGHT = Gauge("srs_requests_in_flight", "Requests accepted and not answered yet")
BYTES_HELD = Gauge("srs_body_bytes_held", "Bytes of bodies being received or processed")
SCORES = Histogram(
    "srs_score", "Primary score of the tumours predicted", buckets=[tenth / 10 for tenth in range(1, 10)]
)
TUMOURS = Counter("srs_tumours", "Tumours answered", ["label"])
WARNINGS = Counter("srs_warnings", "Warnings given with predictions", ["code"])
DRIFT = Histogram(
    "srs_crop_percentile",
    "Percentile of a crop's mean or SD in HU among the training crops: without drift 1 % are below 1, half below 50",
    ["statistic"],
    buckets=(-1, 1, 5, 25, 50, 75, 95, 99, 100),
)
READY = Gauge("srs_ready", "1 while new requests are accepted")
MODEL = Gauge(
    "srs_model", "Always 1; the labels describe the model served", ["version", "bundle_digest", "group", "synthetic"]
)

_log = logging.getLogger(__name__)


def note(protocol: str, status: int, code: str, seconds: float, size: int) -> None:
    """Counts and logs one request.

    Parameters
    ----------
    protocol
        ``v1``, ``v2`` or ``grpc``.
    status, code
        HTTP's status, and the error's code or "".
    seconds
        Time from the complete body to the reply.
    size
        Bytes of the body.
    """
    LATENCY.labels(protocol).observe(seconds)
    REQUESTS.labels(protocol, str(status), code).inc()
    fields = {"protocol": protocol, "status": status, "code": code, "ms": round(1e3 * seconds, 2), "bytes": size}
    _log.info("request", extra={"fields": fields})


class JsonLines(logging.Formatter):
    """Writes our own records in full, but only the format string of a library's: its arguments may quote the input."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        ours = record.name.startswith("serving")
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage() if ours else str(record.msg)[:120],
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1]:
            line |= where(record.exc_info[1])
        return json.dumps(line)


class LoopErrors:
    """Logs the event loop's errors, each kind at most once a second with a count, so that a flood fills no disk.

    Without free file descriptors, asyncio reports each connection that it cannot accept.
    """

    def __init__(self) -> None:
        self._seen: collections.Counter[str] = collections.Counter()
        self._logged: dict[str, float] = {}

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Counts an error, and logs the number since the last one that was logged."""
        kind, error = str(context.get("message"))[:80], context.get("exception")
        self._seen[kind] += 1
        if loop.time() - self._logged.get(kind, -math.inf) < 1:
            return
        self._logged[kind] = loop.time()
        fields = {"kind": kind, "count": self._seen.pop(kind), **(where(error) if error else {})}
        _log.error("event loop", extra={"fields": fields})


def where(error: BaseException) -> dict[str, Any]:
    """Type of an exception and its lines in the code, also of one in a contained call; its text is not logged."""
    if isinstance(error, Failed):
        return {"exception": error.kind, "at": list(error.frames)}
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return {"exception": type(error).__name__, "at": [f"{Path(f.filename).name}:{f.lineno}" for f in frames]}


def configure_logs(level: str) -> None:
    """Writes all logs to stderr as ``JsonLines``; turns off warnings and the records of KServe and uvicorn."""
    warnings.simplefilter("ignore")  # pydicom's warnings quote values of the caller's files
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("serving").setLevel(level.upper())
    for name in ("kserve", "kserve.trace", "uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.CRITICAL if name.startswith("kserve") else logging.ERROR)
