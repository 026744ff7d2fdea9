"""The REST API of V1 and V2: health, metadata, inference and metrics; nothing in it changes the server."""

import asyncio
import dataclasses
import functools
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import prometheus_client
from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from components.common.errors import InputError
from serving import openapi
from serving.errors import Problem, problem_of
from serving.headers import WithHeaders
from serving.limits import Admission, Limits, Ticket
from serving.payload import check_query, decode_v1
from serving.plane import Plane
from serving.predictor import Job
from serving.quotas import client_of
from serving.reply import BINARY_HEADER, Reply, encode_v1, encode_v2
from serving.telemetry import note
from serving.tensors import decode_v2

#: HTTP status of a request that no route takes -> its code and message.
UNROUTED = {
    404: ("NOT_FOUND", "there is nothing at this address"),
    405: ("METHOD_NOT_ALLOWED", "this address does not support this method"),
}
_PREDICT = "The only operation of V1 is a prediction: POST /v1/models/NAME:predict. "
Decoder = Callable[[Request, bytearray], Job]


class _ModelOfV1(StringConvertor):
    """A model name in a V1 address; behind a colon, an address has the name of an operation."""

    regex = "[^/:]+"


register_url_convertor("model_of_v1", _ModelOfV1())


class RestEndpoints:
    """The REST handlers.

    Parameters
    ----------
    dataplane
        Operations behind the handlers.
    admission
        Admission control, shared with gRPC.
    limits
        Limits of bodies.
    """

    def __init__(self, dataplane: Plane, admission: Admission, limits: Limits) -> None:
        self._dataplane, self._admission, self._limits = dataplane, admission, limits
        self._written: asyncio.Future[bytes] | None = None
        self._document = orjson.dumps(openapi.document(limits))

    def application(self) -> Starlette:
        """The ASGI application."""
        v1, v2, model = "/v1/models", "/v2", "/v2/models/{model}"
        posts = [
            (v1 + "/{model}:predict", functools.partial(self._infer, "v1", _v1_job)),
            (model + "/infer", functools.partial(self._infer, "v2", _v2_job)),
            (model + "/versions/{version}/infer", functools.partial(self._infer, "v2", _v2_job)),
        ]
        gets = [
            ("/", self._live),
            ("/metrics", self._metrics),
            ("/openapi.json", self._openapi),
            (v1, self._models),
            (v1 + "/{model:model_of_v1}", self._model_ready),
            (v2, self._server_metadata),
            (v2 + "/health/live", self._live),
            (v2 + "/health/ready", self._ready),
            (v2 + "/models", self._models),
            (model, self._model_metadata),
            (model + "/ready", self._model_ready),
            (model + "/versions/{version}", self._model_metadata),
            (model + "/versions/{version}/ready", self._model_ready),
        ]
        routes = [Route(path, _with_error_replies(handler), methods=["POST"]) for path, handler in posts]
        routes += [Route(path, _with_error_replies(handler), methods=["GET"]) for path, handler in gets]
        handlers = {HTTPException: _routing_problem}
        headers = Middleware(WithHeaders, closing=lambda: self._admission.closing)
        application = Starlette(routes=routes, middleware=[headers], exception_handlers=handlers)
        application.router.redirect_slashes = False  # a redirect would contain whatever host name the caller sent
        return application

    async def _live(self, _: Request) -> Response:
        if not self._dataplane.is_live():
            return JSONResponse({"live": False, "status": "stuck"}, 503)
        return JSONResponse({"live": True, "status": "alive"})

    async def _ready(self, _: Request) -> Response:
        ready = self._dataplane.is_ready()
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def _metrics(self, _: Request) -> Response:
        """Generated off the event loop, since it takes milliseconds, and once for all requests arriving meanwhile."""
        if self._written is None or self._written.done():
            self._written = asyncio.ensure_future(asyncio.to_thread(prometheus_client.generate_latest))
        text = await asyncio.shield(self._written)
        return Response(text, media_type=prometheus_client.CONTENT_TYPE_LATEST)

    async def _openapi(self, _: Request) -> Response:
        return Response(self._document, media_type="application/json")

    async def _models(self, _: Request) -> Response:
        return JSONResponse({"models": self._dataplane.models})

    async def _model_ready(self, request: Request) -> Response:
        name = self._model_name(request)
        ready = await self._dataplane.model_ready(name)
        return JSONResponse({"name": name, "ready": ready}, 200 if ready else 503)

    async def _server_metadata(self, _: Request) -> Response:
        return JSONResponse(self._dataplane.metadata())

    async def _model_metadata(self, request: Request) -> Response:
        return JSONResponse(self._dataplane.model_metadata(self._model_name(request)))

    def _model_name(self, request: Request) -> str:
        """The addressed model; ``MODEL_UNKNOWN`` if it, or its version, is not served here."""
        return str(self._dataplane.find(request.path_params["model"], request.path_params.get("version")).name)

    async def _infer(self, protocol: str, decoder: Decoder, request: Request) -> Response:
        start, size = time.perf_counter(), 0
        status, code = 200, ""
        response: Response
        try:
            with self._admission.request(client_of(request.client.host if request.client else "")) as ticket:
                name = self._model_name(request)
                body = await _read_body(request, ticket, self._limits)
                size, start = len(body), time.perf_counter()
                ticket.take_slot()
                job = dataclasses.replace(decoder(request, body), lane=ticket.lane)
                reply: Reply = await self._answer(request, name, job)
                response = Response(reply.content, headers=reply.headers)
        except Exception as error:
            problem = problem_of(error)
            status, code = problem.status, problem.code
            response = JSONResponse(problem.to_dict(), status, problem.headers)
        note(protocol, status, code, time.perf_counter() - start, size)
        return response

    async def _answer(self, request: Request, name: str, job: Job) -> Any:
        """Runs a job; cancels it when the caller disconnects, unless a thread has started it."""
        work, gone = asyncio.ensure_future(self._dataplane.infer(name, job)), asyncio.ensure_future(request.receive())
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and gone.result()["type"] == "http.disconnect":
                raise ClientDisconnect
            return await work
        finally:
            work.cancel()
            gone.cancel()


def _v1_job(request: Request, body: bytearray) -> Job:
    content_type = request.headers.get("content-type", "application/json")
    check_query(request.query_params.multi_items())
    decode = functools.partial(decode_v1, body, content_type, request.query_params)
    return Job(decode, lambda result, _, facts: encode_v1(result, facts))


def _v2_job(request: Request, body: bytearray) -> Job:
    return Job(lambda: decode_v2(body, request.headers.get(BINARY_HEADER)), encode_v2)


async def _read_body(request: Request, ticket: Ticket, limits: Limits) -> bytearray:
    """The body, counted while it is received: ``BODY_TOO_LARGE``, ``BODY_SLOW`` and ``BUSY`` are raised at once."""
    if request.headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise InputError("CONTENT_ENCODING", "compressed bodies are not accepted", "Send the body as it is.")
    kind = request.headers.get("content-type", "")
    limit = functools.partial(limits.of, kind, BINARY_HEADER in request.headers)
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isdecimal() else 0
    if size > limits.binary_bytes:
        raise limits.too_large(limits.json_bytes if "json" in kind.lower() else limits.binary_bytes, size)
    body = bytearray()
    async with ticket.receiving(limits):
        async for part in request.stream():
            most = limit(bytes(body[:2]) + part[:2])
            if max(size, len(body) + len(part)) > most:
                raise limits.too_large(most, size)
            ticket.hold(len(part))
            body += part
    return body


def _with_error_replies(handler: Callable[[Request], Awaitable[Response]]) -> Any:
    """Wraps a handler: exceptions become replies of a ``Problem``; the framework's page would show their text."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:
            problem = problem_of(error)
            return JSONResponse(problem.to_dict(), problem.status, problem.headers)

    return handle


async def _routing_problem(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code, message = UNROUTED.get(status, ("INTERNAL", "the server failed to process the request"))
    headers = getattr(error, "headers", None)
    methods = ", ".join(sorted(headers["Allow"].split(", "))) if headers and "Allow" in headers else ""
    allowed = f"This address supports {methods}. " if methods else ""
    if status == 404 and re.match("/v1/models/[^/]*:", request.url.path):
        allowed = _PREDICT
    problem = Problem(status, code, message, f"{allowed}GET /openapi.json lists the addresses and their methods.")
    return JSONResponse(problem.to_dict(), status, headers)
