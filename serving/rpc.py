"""The V2 protocol over gRPC, on its own address; the calls of the repository extension are UNIMPLEMENTED."""

import dataclasses
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import grpc

from components.common.errors import InputError
from components.common.kserve_import import pb
from components.common.limits import (
    DETAILS_BYTES,
    FACTS_MESSAGES,
    FACTS_SECONDS,
    GRPC_IDLE_SECONDS,
    HANDSHAKE_SECONDS,
    INFER_MESSAGES,
    METADATA_BYTES,
    READ_SECONDS,
    UNASKED_BYTES,
    WAITING_CALLS,
)
from serving.errors import RETRY_AFTER_SECONDS, Problem, problem_of
from serving.limits import Admission, Limits
from serving.plane import Plane
from serving.predictor import Job
from serving.quotas import MessageSlots, client_of
from serving.rpc_messages import parsed, request_query, response
from serving.telemetry import note
from serving.wire import NOT_THIS_PROTOCOL

_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
#: A message is in memory three times: as received, as parsed, and as the tensor's bytes.
COPIES = 3


class Servicer:
    """Health, metadata and inference.

    Each method gets the stream of its messages and reads the one that it needs, within a time limit.
    ``ServerLive`` and ``ServerReady`` read none, so that a caller that sends nothing cannot delay a probe.
    """

    def __init__(self, dataplane: Plane, admission: Admission, limits: Limits) -> None:
        self._dataplane, self._admission, self._limits = dataplane, admission, limits
        self.infers = MessageSlots(INFER_MESSAGES, WAITING_CALLS)
        self.facts = MessageSlots(FACTS_MESSAGES, WAITING_CALLS)

    async def ServerLive(self, *_: Any) -> Any:  # noqa: N802
        """Whether the process answers and makes progress."""
        return pb.ServerLiveResponse(live=self._dataplane.is_live())

    async def ServerReady(self, *_: Any) -> Any:  # noqa: N802
        """Whether new requests are accepted."""
        return pb.ServerReadyResponse(ready=self._dataplane.is_ready())

    async def ServerMetadata(self, *_: Any) -> Any:  # noqa: N802
        """Name and version of the server."""
        return pb.ServerMetadataResponse(**self._dataplane.metadata())

    async def ModelReady(self, messages: AsyncIterator[bytes], client: str) -> Any:  # noqa: N802
        """Whether the model answers."""
        request = parsed(pb.ModelReadyRequest, await self._receive(self.facts, messages, client, FACTS_SECONDS))
        return pb.ModelReadyResponse(ready=await self._dataplane.model_ready(request.name))

    async def ModelMetadata(self, messages: AsyncIterator[bytes], client: str) -> Any:  # noqa: N802
        """Inputs and outputs of the model."""
        request = parsed(pb.ModelMetadataRequest, await self._receive(self.facts, messages, client, FACTS_SECONDS))
        facts = self._dataplane.model_metadata(request.name)
        return pb.ModelMetadataResponse(**{name: facts[name] for name in _METADATA})

    async def ModelInfer(self, messages: AsyncIterator[bytes], client: str) -> Any:  # noqa: N802
        """Inference, or an error; the message is received once there is a slot for it."""
        start, size, problem = time.perf_counter(), 0, None
        try:
            with self._admission.request(client) as ticket:
                message = await self._receive(self.infers, messages, client, self._limits.seconds)
                size, start = len(message), time.perf_counter()
                ticket.hold(COPIES * size)
                ticket.take_slot()
                request = parsed(pb.ModelInferRequest, message)
                del message  # only the parsed message is still needed
                job = Job(lambda: request_query(request), response, ticket.lane)
                reply = await self._dataplane.infer(request.model_name, job)
        except Exception as error:
            problem = problem_of(error)
        status, code = (problem.status, problem.code) if problem else (200, "")
        note("grpc", status, code, time.perf_counter() - start, size)
        return problem or reply

    async def _receive(self, slots: MessageSlots, messages: AsyncIterator[bytes], client: str, seconds: float) -> bytes:
        try:
            async with slots.slot(client, seconds):
                return await anext(aiter(messages))
        except TimeoutError:
            raise self._limits.too_slow() from None
        except StopAsyncIteration:
            raise InputError("FORMAT", "the call holds no message", NOT_THIS_PROTOCOL) from None

    def method(self, name: str) -> Any:
        """A method as gRPC calls it: with a stream of one message, which gRPC buffers only when it is read."""

        async def answer(messages: AsyncIterator[bytes], context: Any) -> Any:
            try:
                reply = await getattr(self, name)(messages, client_of(_host(context.peer())))
            except Exception as error:
                reply = problem_of(error)
            return await _abort(context, reply) if isinstance(reply, Problem) else reply

        serializer = getattr(pb, f"{name}Response").SerializeToString
        return grpc.stream_unary_rpc_method_handler(answer, response_serializer=serializer)


_METADATA = ("name", "versions", "platform", "inputs", "outputs")
_METHODS = ("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelInfer")


class Server:
    """A gRPC server on its own address.

    Parameters
    ----------
    dataplane, admission
        Shared with REST.
    address
        ``host:port``.
    limits
        Limits of a message.
    connections
        Largest number of open connections; gRPC itself closes more.

    Raises
    ------
    InputError
        ``PORT_IN_USE``.
    """

    def __init__(self, dataplane: Plane, admission: Admission, address: str, limits: Limits, connections: int) -> None:
        self._servicer = Servicer(dataplane, admission, limits)
        self._server = grpc.aio.server(options=_options(limits, connections))
        handlers = {name: self._servicer.method(name) for name in _METHODS}
        handler = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)
        self._server.add_generic_rpc_handlers((handler,))
        try:
            self._server.add_insecure_port(address)
        except RuntimeError:
            message = f"the gRPC address {address} cannot be bound"
            raise InputError("PORT_IN_USE", message, "Choose another port.") from None

    async def start(self) -> None:
        """Accepts calls."""
        await self._server.start()

    def refuse_coming(self) -> None:
        """Evicts all messages that are being received or wait."""
        self._servicer.infers.clear()
        self._servicer.facts.clear()

    async def stop(self, seconds: float) -> None:
        """Accepts no more calls, and cancels the open ones after ``seconds``."""
        await self._server.stop(seconds)


def _options(limits: Limits, connections: int) -> list[tuple[str, int]]:
    """The limits that gRPC enforces itself."""
    return [
        ("grpc.max_receive_message_length", limits.json_bytes),
        ("grpc.max_send_message_length", limits.json_bytes),
        ("grpc.so_reuseport", 0),
        # By default, gRPC would buffer as much of each waiting message as the network carries.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", UNASKED_BYTES),
        # gRPC decompresses a message before it checks its size, so compressed messages are refused, as over HTTP.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES),
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.server_handshake_timeout_ms", int(1000 * HANDSHAKE_SECONDS)),
        ("grpc.http2.settings_timeout", int(1000 * HANDSHAKE_SECONDS)),
        ("grpc.max_connection_idle_ms", int(1000 * GRPC_IDLE_SECONDS)),
        ("grpc.keepalive_time_ms", int(1000 * GRPC_IDLE_SECONDS)),
        ("grpc.keepalive_timeout_ms", int(1000 * READ_SECONDS)),
    ]


def _host(peer: str) -> str:
    """The address of ``ipv4:127.0.0.1:5555`` or ``ipv6:%5B::1%5D:5555``."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")


async def _abort(context: Any, problem: Problem) -> Any:
    """Ends a call with a status; code and hint as JSON in its details, and the time to wait if waiting helps."""
    if problem.status == 503:
        context.set_trailing_metadata((("retry-after", str(RETRY_AFTER_SECONDS)),))
    details = json.dumps(problem.to_dict())
    if len(details) > DETAILS_BYTES:
        details = json.dumps(dataclasses.replace(problem, details={}).to_dict())
    await context.abort(_STATUS.get(problem.status, grpc.StatusCode.INTERNAL), details)
