"""The V2 protocol over gRPC, on an address of our own; the repository calls answer UNIMPLEMENTED."""

import json
import time
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
from kserve.errors import ModelNotFound
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as pb_grpc

from components.common.errors import InputError
from serving.admission import Admission
from serving.errors import RETRY_AFTER_SECONDS, Problem
from serving.payload import Output, Query
from serving.predictor import Job
from serving.problems import note, problem_of
from serving.reply import OUTPUTS, Result, raw_bytes, tensor_of, v2_parameters
from serving.tensors import Tensor, query_of

_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


class Servicer(pb_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Health, metadata and inference over KServe's data plane."""

    def __init__(self, dataplane: DataPlane, admission: Admission) -> None:
        self._dataplane, self._admission = dataplane, admission

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

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Inference."""
        start = time.perf_counter()
        problem: Problem | None = None
        size = request.ByteSize()
        try:
            with self._admission.request() as ticket:
                ticket.hold(size)
                job = Job(lambda: _query(request), lambda result, query, facts: _response(result, query, facts))
                return (await self._dataplane.infer(request.model_name, job))[0]
        except Exception as error:
            problem = problem_of(error)
        finally:
            note("grpc", problem, time.perf_counter() - start, size)
        return await _abort(context, problem)


_METADATA = ("name", "versions", "platform", "inputs", "outputs")


async def start(dataplane: DataPlane, admission: Admission, address: str, most_bytes: int, most_calls: int) -> Any:
    """A started gRPC server.

    Parameters
    ----------
    dataplane, admission
        Shared with REST.
    address
        ``host:port``.
    most_bytes
        Of a message.
    most_calls
        Calls at once; more are refused by gRPC itself, before their message is kept.

    Raises
    ------
    InputError
        ``PORT_IN_USE``.
    """
    options = [
        ("grpc.max_receive_message_length", most_bytes),
        ("grpc.max_send_message_length", most_bytes),
        ("grpc.so_reuseport", 0),
    ]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=most_calls)
    pb_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(dataplane, admission), server)
    try:
        server.add_insecure_port(address)
    except RuntimeError:
        raise InputError("PORT_IN_USE", f"the gRPC address {address} cannot be bound", "Choose another port.") from None
    await server.start()
    return server


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
        data = np.array(one.contents.fp32_contents, np.float32).tobytes()
    if any(side < 0 for side in one.shape):
        raise InputError("V2_FORMAT", "shape must be a list of whole numbers")
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
    await context.abort(_STATUS.get(problem.status, grpc.StatusCode.INTERNAL), details)
