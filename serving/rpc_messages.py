"""Reads and writes the messages of the V2 protocol over gRPC."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import DecodeError

from components.common.errors import InputError
from components.common.kserve_import import pb
from serving.payload import Output, Query
from serving.reply import OUTPUTS, Result, raw_bytes, tensor_of, v2_parameters
from serving.tensors import SHAPES, Tensor, query_of
from serving.wire import NOT_THIS_PROTOCOL, check_message


def parsed(kind: Any, message: bytes) -> Any:
    """A message of a class of KServe's protocol; ``FORMAT`` where it is no such message."""
    check_message(message)
    try:
        return kind.FromString(message)
    except DecodeError:
        raise InputError("FORMAT", f"the message is not a {kind.DESCRIPTOR.name}", NOT_THIS_PROTOCOL) from None


def request_query(request: Any) -> Query:
    """The query of an inference request; ``FORMAT`` or ``V2_DATA`` where its tensors are not as the protocol says."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        hint = "Send one element of raw_input_contents for each input, or the contents in the inputs."
        raise InputError("V2_DATA", "raw_input_contents has another number of elements than inputs", hint)
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
        raise InputError("FORMAT", "shape must be a list of whole numbers", SHAPES)
    return Tensor(one.name, one.datatype, tuple(one.shape), data)


def _parameter(value: Any) -> Any:
    return getattr(value, value.WhichOneof("parameter_choice") or "string_param")


def response(result: Result, query: Query, facts: dict[str, Any]) -> Any:
    """The reply to an inference request: the outputs that ``query`` names, or all."""
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
