"""The server's own REST application and gRPC servicer, called in this process: a thousand requests a second."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc

from components.model.runtime import Ensemble
from serving.limits import Admission, Limits, Load
from serving.plane import Plane
from serving.predictor import Predictor
from serving.rest import RestEndpoints
from serving.rpc import Servicer

NAME = "srs-response"


@dataclasses.dataclass(frozen=True)
class Request:
    """A request. Over gRPC, ``body`` is the message, and the other fields are unused."""

    kind: str
    body: bytes
    target: str = f"/v1/models/{NAME}:predict"
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()
    grpc: bool = False


@dataclasses.dataclass(frozen=True)
class Reply:
    """``status`` is HTTP's number or gRPC's name; ``body`` is JSON, or gRPC's details."""

    status: int | str
    body: bytes
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def code(self) -> str:
        """The error's code; "" for an answer."""
        refused = self.status != "OK" if isinstance(self.status, str) else self.status >= 400
        return str(json.loads(self.body)["code"]) if refused else ""


class _Aborted(Exception):
    pass


class _Context:
    """The part of gRPC's context that a servicer uses."""

    def __init__(self) -> None:
        self.status, self.details = grpc.StatusCode.OK, ""

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50000"

    def set_trailing_metadata(self, _: Any) -> None:
        pass

    async def abort(self, status: grpc.StatusCode, details: str) -> None:
        self.status, self.details = status, details
        raise _Aborted


class EntryPoints:
    """A predictor of a bundle, with its REST and gRPC entry points. Use ``ask`` on one event loop."""

    def __init__(self, bundle: Path) -> None:
        self.predictor = Predictor(NAME, Ensemble.open(bundle, threads=1), "7", 1)
        self.predictor.ready = True
        limits, admission = Limits(), Admission(Load())
        plane = Plane(self.predictor, limits, 120.0)
        self._application = RestEndpoints(plane, admission, limits).application()
        self._servicer = Servicer(plane, admission, limits)

    async def ask(self, request: Request) -> Reply:
        """The reply; an exception that leaves the application is a finding."""
        return await (self._call(request.body) if request.grpc else self._http(request))

    async def _call(self, message: bytes) -> Reply:
        async def messages() -> Any:
            yield message

        context = _Context()
        try:
            reply = await self._servicer.method("ModelInfer").stream_unary(messages(), context)
        except _Aborted:
            return Reply(context.status.name, context.details.encode())
        return Reply("OK", reply.SerializeToString())

    async def _http(self, request: Request) -> Reply:
        path, _, query = request.target.partition("?")
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
        pieces = [{"type": "http.request", "body": request.body, "more_body": False}]
        sent: list[dict[str, Any]] = []
        scope = {
            **{"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1"},
            **{"method": request.method, "path": unquote(path), "raw_path": path.encode()},
            **{"query_string": query.encode(), "headers": headers, "scheme": "http", "root_path": ""},
            **{"client": ("127.0.0.1", 50_000), "server": ("127.0.0.1", 8080)},
        }

        async def receive() -> dict[str, Any]:
            return pieces.pop() if pieces else await asyncio.Event().wait() or {}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._application(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Reply(sent[0]["status"], body, {k.decode(): v.decode("latin-1") for k, v in sent[0]["headers"]})
