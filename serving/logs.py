"""Logs as one JSON object a line, without identity: no exception text, no argument of a library's message."""

import json
import logging
import traceback
import warnings
from pathlib import Path
from typing import Any


class JsonLines(logging.Formatter):
    """Our own records whole; of a library's only its fixed words, since their arguments may quote the input."""

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


def where(error: BaseException) -> dict[str, Any]:
    """Type and places of an exception; its text stays here."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return {"exception": type(error).__name__, "at": [f"{Path(f.filename).name}:{f.lineno}" for f in frames]}


def configure(level: str) -> None:
    """All logs to stderr as ``JsonLines``; warnings, and KServe's and uvicorn's own chatter, off."""
    warnings.simplefilter("ignore")  # pydicom's quote values of the caller's files
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("serving").setLevel(level.upper())
    for name in ("kserve", "kserve.trace", "uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.CRITICAL if name.startswith("kserve") else logging.ERROR)
    # KServe configures its loggers anew unless it finds a handler.
    logging.getLogger("kserve").addHandler(logging.NullHandler())
