"""The V2 protocol over gRPC, on an address of our own; the repository calls are UNIMPLEMENTED."""

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from kserve.errors import ModelNotFound
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from components.common.errors import InputError
from serving.errors import RETRY_AFTER_SECONDS, Problem, problem_of
from serving.limits import Admission, Limits
from serving.payload import Output, Query
from serving.predictor import Job
from serving.reply import OUTPUTS, Result, raw_bytes, tensor_of, v2_parameters
from serving.telemetry import note
from serving.tensors import Tensor, query_of
from serving.wire import check_message

_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
#: Messages received at once (gRPC keeps their pieces for a while); other calls wait, and their bytes with the sender.
RECEIVED_AT_ONCE = 4
#: Bytes that a caller may send of a message that is not received yet.
UNASKED_BYTES = 2**20
#: Bytes of a refusal, which travels as metadata: callers take 8 kB of them by default. Longer lists are left out.
MAX_DETAILS = 4096
#: A message is kept as it came, parsed, and as the tensor's bytes.
COPIES = 3


class Servicer:
    """Health, metadata and inference over KServe's data plane."""

    def __init__(self, dataplane: DataPlane, admission: Admission, limits: Limits) -> None:
        self._dataplane, self._admission, self._limits = dataplane, admission, limits
        self._receiving = asyncio.Semaphore(RECEIVED_AT_ONCE)

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Whether the process answers."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Whether new requests are welcome."""
        return pb.ServerReadyResponse(ready=await self._dataplane.ready())

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Whether the model answers."""
        try:
            return pb.ModelReadyResponse(ready=await self._dataplane.model_ready(request.name))
        except ModelNotFound as error:
            await _abort(context, problem_of(error))

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Name and version of the server."""
        return pb.ServerMetadataResponse(**self._dataplane.metadata())

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Inputs and outputs of the model."""
        try:
            found = await self._dataplane.model_metadata(request.name)
        except ModelNotFound as error:
            return await _abort(context, problem_of(error))
        return pb.ModelMetadataResponse(**{name: found[name] for name in _METADATA})

    async def ModelInfer(self, messages: AsyncIterator[bytes], context: Any) -> Any:  # noqa: N802
        """Inference; the message is received once there is a place for it."""
        start, size = time.perf_counter(), 0
        try:
            with self._admission.request() as ticket:
                message = await self._receive(messages)
                size, start = len(message), time.perf_counter()
                ticket.hold(COPIES * size)
                request = _parsed(message)
                job = Job(lambda: _query(request), lambda result, query, facts: _response(result, query, facts))
                reply = (await self._dataplane.infer(request.model_name, job))[0]
                note("grpc", 200, "", time.perf_counter() - start, size)
                return reply
        except Exception as error:
            problem = problem_of(error)
        note("grpc", problem.status, problem.code, time.perf_counter() - start, size)
        return await _abort(context, problem)

    async def _receive(self, messages: AsyncIterator[bytes]) -> bytes:
        try:
            async with self._receiving, asyncio.timeout(self._limits.seconds):
                return await anext(aiter(messages))
        except TimeoutError:
            raise self._limits.too_slow() from None
        except StopAsyncIteration:
            raise InputError("FORMAT", "the call holds no message") from None


_METADATA = ("name", "versions", "platform", "inputs", "outputs")
_LOOKS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata")


async def start(dataplane: DataPlane, admission: Admission, address: str, limits: Limits, most_calls: int) -> Any:
    """A started gRPC server.

    Parameters
    ----------
    dataplane, admission
        Shared with REST.
    address
        ``host:port``.
    limits
        Of a message.
    most_calls
        Calls at once; more are refused by gRPC itself, before their message is kept.

    Raises
    ------
    InputError
        ``PORT_IN_USE``.
    """
    options = [
        ("grpc.max_receive_message_length", limits.json_bytes),
        ("grpc.max_send_message_length", limits.json_bytes),
        ("grpc.so_reuseport", 0),
        # Unasked, gRPC would keep as much of each waiting message as the line carries.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", UNASKED_BYTES),
    ]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=most_calls)
    server.add_generic_rpc_handlers((_handler(Servicer(dataplane, admission, limits)),))
    try:
        server.add_insecure_port(address)
    except RuntimeError:
        raise InputError("PORT_IN_USE", f"the gRPC address {address} cannot be bound", "Choose another port.") from None
    await server.start()
    return server


def _handler(servicer: Servicer) -> Any:
    """KServe's service. A call of one message is a stream of one: so it is asked for, instead of kept unasked."""
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, name),
            getattr(pb, f"{name}Request").FromString,
            getattr(pb, f"{name}Response").SerializeToString,
        )
        for name in _LOOKS
    }
    infer = grpc.stream_unary_rpc_method_handler(
        servicer.ModelInfer, response_serializer=pb.ModelInferResponse.SerializeToString
    )
    return grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {**handlers, "ModelInfer": infer})


def _parsed(message: bytes) -> Any:
    check_message(message)
    try:
        return pb.ModelInferRequest.FromString(message)
    except DecodeError:
        raise InputError("FORMAT", "the message is no ModelInferRequest") from None


def _query(request: Any) -> Query:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InputError("V2_DATA", "raw_input_contents has another number of elements than inputs")
    tensors = [_tensor(one, raw[index] if raw else None) for index, one in enumerate(request.inputs)]
    parameters = {name: _parameter(value) for name, value in request.parameters.items()}
    outputs = tuple(Output(one.name, True) for one in request.outputs)
    return query_of(tensors, parameters, request.id, True, outputs)


def _tensor(one: Any, raw: bytes | None) -> Tensor:
    data: Any = raw
    if raw is None and one.datatype == "BYTES":
        data = tuple(one.contents.bytes_contents)
    elif raw is None:
        data = one.contents.fp32_contents
    if any(side < 0 for side in one.shape):
        raise InputError("FORMAT", "shape must be a list of whole numbers")
    return Tensor(one.name, one.datatype, tuple(one.shape), data)


def _parameter(value: Any) -> Any:
    return getattr(value, value.WhichOneof("parameter_choice") or "string_param")


def _response(result: Result, query: Query, facts: dict[str, Any]) -> Any:
    names: Sequence[str] = [output.name for output in query.outputs] or list(OUTPUTS)
    tensors = [(name, *tensor_of(result, name)) for name in names]
    return pb.ModelInferResponse(
        model_name=facts["model_name"],
        model_version=facts["model_version"],
        id=query.request_id,
        parameters={name: _as_parameter(value) for name, value in v2_parameters(result, facts).items()},
        outputs=[{"name": name, "datatype": kind, "shape": array.shape} for name, kind, array in tensors],
        raw_output_contents=[raw_bytes(kind, array) for _, kind, array in tensors],
    )


def _as_parameter(value: str | bool | float) -> Any:
    if isinstance(value, bool):
        return pb.InferParameter(bool_param=value)
    return pb.InferParameter(string_param=value if isinstance(value, str) else repr(value))


async def _abort(context: Any, problem: Problem) -> Any:
    """Ends a call with a status; code and hint as JSON in its details, and how long to wait where that helps."""
    if problem.status == 503:
        context.set_trailing_metadata((("retry-after", str(RETRY_AFTER_SECONDS)),))
    details = json.dumps(problem.to_dict())
    if len(details) > MAX_DETAILS:
        details = json.dumps(dataclasses.replace(problem, details={}).to_dict())
    await context.abort(_STATUS.get(problem.status, grpc.StatusCode.INTERNAL), details)
