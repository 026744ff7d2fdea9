"""Answers -> replies of the V1 and V2 protocols. A reply may echo the caller's own ROI names and UIDs."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from components.common.errors import InputError
from components.model.manifest import Manifest
from components.model.runtime import Answer
from serving.payload import Output, Query

INPUT_8_BIT, INPUT_DRIFT = "INPUT_8_BIT", "INPUT_DRIFT"
#: Meaning of each warning about a crop, beside those about its contours (``components.imaging.reasons``).
WARNINGS = {
    INPUT_8_BIT: "the crop looks like a picture of 0 to 255, not like HU",
    INPUT_DRIFT: "mean or spread of the crop's HU lie outside those of all training crops",
}
BINARY_HEADER = "Inference-Header-Content-Length"


@dataclasses.dataclass(frozen=True, slots=True)
class Tumour:
    """One tumour for which a prediction was made.

    Parameters
    ----------
    instance
        Position in the request of its crop or study.
    roi_name, roi_number, slice_sop_instance_uid
        Names and UID of the caller's files; "" for a crop.
    warnings
        Codes: ``TOO_SMALL``, ``TOO_LARGE``, ``WIDER_THAN_CROP`` (outside the study's inclusion rules), those of the
        contours (``Candidate.warnings``), and ``WARNINGS``.
    """

    instance: int
    answer: Answer
    roi_name: str = ""
    slice_sop_instance_uid: str = ""
    warnings: tuple[str, ...] = ()
    roi_number: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Unanswered:
    """A GTV of a study that could not be cut, and why: code, message and hint as `srs inspect` gives them."""

    instance: int
    roi_name: str
    code: str
    message: str = ""
    hint: str = ""
    roi_number: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """The result of a query."""

    tumours: tuple[Tumour, ...]
    unanswered: tuple[Unanswered, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """The bytes of a reply and its headers."""

    content: bytes
    headers: dict[str, str]


def model_facts(manifest: Manifest, name: str, version: str) -> dict[str, Any]:
    """The facts about the model that every reply includes."""
    return {
        "model_name": name,
        "model_version": version,
        "bundle_digest": manifest.digest,
        "image_digest": manifest.image_digest,
        "cut_off": manifest.cut_off,
        "ensemble_score": manifest.ensemble_score,
        "synthetic": manifest.synthetic,
    }


def encode_v1(result: Result, facts: dict[str, Any]) -> Reply:
    """``{"predictions": [one per tumour], "unanswered": [...]}``."""
    body = {
        "predictions": [_v1_tumour(tumour, facts) for tumour in result.tumours],
        "unanswered": [dataclasses.asdict(one) for one in result.unanswered],
    }
    return Reply(orjson.dumps(body), {"Content-Type": "application/json"})


def encode_v2(result: Result, query: Query, facts: dict[str, Any]) -> Reply:
    """A V2 reply; tensors requested as binary follow the JSON."""
    described, behind = [], []
    for name, binary in _chosen(query):
        datatype, array = tensor_of(result, name)
        one: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if binary:
            raw = raw_bytes(datatype, array)
            one["parameters"] = {"binary_data_size": len(raw)}
            behind.append(raw)
        else:
            one["data"] = array.ravel().tolist()
        described.append(one)
    head = orjson.dumps(
        {
            "model_name": facts["model_name"],
            "model_version": facts["model_version"],
            "id": query.request_id,
            "parameters": v2_parameters(result, facts),
            "outputs": described,
        }
    )
    if not behind:
        return Reply(head, {"Content-Type": "application/json"})
    headers = {"Content-Type": "application/octet-stream", BINARY_HEADER: str(len(head))}
    return Reply(b"".join([head, *behind]), headers)


#: V2 outputs: name -> datatype and, after the tumours, the second dimension ("members": their number).
OUTPUTS = {
    "probability": "FP32",
    "vote_fraction": "FP32",
    "votes": "INT32",
    "spread": "FP32",
    "score": "FP32",
    "calibrated_probability": "FP32",
    "non_responder": "BOOL",
    "members": "FP32",
    "instance": "INT32",
    "roi_name": "BYTES",
    "roi_number": "BYTES",
    "slice_sop_instance_uid": "BYTES",
    "warnings": "BYTES",
}
#: Fields of ``Answer`` in a V1 reply under their own names.
ANSWERED = ("probability", "vote_fraction", "votes", "spread", "score", "calibrated_probability")
_NUMPY = {"FP32": np.float32, "INT32": np.int32, "BOOL": np.bool_, "BYTES": object}


def tensor_of(result: Result, name: str) -> tuple[str, NDArray[Any]]:
    """Datatype and values [tumours] ([tumours, members] for ``members``) of a V2 output; NaN where there is none."""
    if name in ("instance", "roi_name", "roi_number", "slice_sop_instance_uid"):
        values = [getattr(tumour, name) for tumour in result.tumours]
    elif name == "warnings":
        values = [",".join(tumour.warnings) for tumour in result.tumours]
    else:
        values = [getattr(tumour.answer, name) for tumour in result.tumours]
    return OUTPUTS[name], np.array(values, _NUMPY[OUTPUTS[name]])


def raw_bytes(datatype: str, array: NDArray[Any]) -> bytes:
    """A tensor's bytes, little-endian; each BYTES element preceded by its length."""
    if datatype != "BYTES":
        return array.tobytes()
    texts = [str(value).encode() for value in array]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def v2_parameters(result: Result, facts: dict[str, Any]) -> dict[str, str | bool | float]:
    """The model's facts, and as JSON text the GTVs that could not be cut."""
    parameters = {name: value for name, value in facts.items() if name not in ("model_name", "model_version")}
    if result.unanswered:
        parameters["unanswered"] = orjson.dumps([dataclasses.asdict(one) for one in result.unanswered]).decode()
    return parameters


def check_outputs(outputs: Sequence[Output]) -> None:
    """Raises ``OUTPUT_UNKNOWN`` if a requested output does not exist, and ``FORMAT`` if one is requested twice.

    This limits the size of a reply: it holds each output at most once.
    """
    unknown = [output for output in outputs if output.name not in OUTPUTS]
    if unknown:
        raise InputError(
            "OUTPUT_UNKNOWN", "a requested output does not exist", f"The outputs are {', '.join(OUTPUTS)}."
        )
    if len({output.name for output in outputs}) != len(outputs):
        raise InputError("FORMAT", "an output is requested twice", "List each output once.")


def _chosen(query: Query) -> list[tuple[str, bool]]:
    return [(o.name, o.binary) for o in query.outputs] or [(name, query.binary) for name in OUTPUTS]


def _v1_tumour(tumour: Tumour, facts: dict[str, Any]) -> dict[str, Any]:
    answer = tumour.answer
    return {
        "instance": tumour.instance,
        "roi_name": tumour.roi_name,
        "roi_number": tumour.roi_number,
        "slice_sop_instance_uid": tumour.slice_sop_instance_uid,
        **{name: getattr(answer, name) for name in ANSWERED},
        "label": "non-responder" if answer.non_responder else "responder",
        "members": answer.members,
        **facts,
        "warnings": tumour.warnings,
    }
