"""Exceptions of either protocol -> a ``Problem``, counted and logged without their text."""

import logging

from kserve.errors import ModelNotFound
from starlette.requests import ClientDisconnect

from components.common.errors import InputError
from serving import metrics
from serving.errors import Problem, Refused
from serving.logs import where

log = logging.getLogger(__name__)


def problem_of(error: Exception) -> Problem:
    """What to tell of an exception; where we did not foresee it, its type and place are logged."""
    if isinstance(error, ModelNotFound):
        error = Refused("MODEL_UNKNOWN", "no such model or version is served here", "GET /v2/models lists what is.")
    if isinstance(error, ClientDisconnect):
        error = InputError("DISCONNECTED", "the caller went away while sending")
    problem = Problem.of(error)
    if problem.status == 500:
        log.error("unforeseen", extra={"fields": where(error) | {"code": problem.code}})
    return problem


def note(protocol: str, problem: Problem | None, seconds: float, size: int) -> None:
    """Counts and logs one request.

    Parameters
    ----------
    protocol
        ``v1``, ``v2`` or ``grpc``.
    problem
        None where it was answered.
    seconds
        From the whole body to the reply.
    size
        Bytes of the body.
    """
    status, code = (problem.status, problem.code) if problem else (200, "")
    metrics.LATENCY.labels(protocol).observe(seconds)
    metrics.REQUESTS.labels(protocol, str(status), code).inc()
    fields = {"protocol": protocol, "status": status, "code": code, "ms": round(1e3 * seconds, 2), "bytes": size}
    log.info("request", extra={"fields": fields})
