"""The smoke query: does the predictor that answers now give the pinned bundle's golden answers."""

import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.common.files import float32_array
from components.common.limits import MAX_GOLDEN_BYTES
from components.model.golden import CROP, GOLDEN, PROBABILITIES
from components.model.manifest import INPUT
from components.model.plain_file import read_plain_file


def ask_golden(
    url: str, model_name: str, version: str, bundle_folder: Path, tolerance: float, timeout_s: float = 30.0
) -> str:
    """Sends the golden crop by V2; "" where the pinned version gives the bundle's answers, else what is wrong.

    While a rollout goes on, an old pod may still answer: then the version is not the pinned one.
    """
    crop, expected = (_array(bundle_folder, name) for name in (CROP, PROBABILITIES))
    crop = crop[np.newaxis]
    tensor = {"name": INPUT, "shape": crop.shape, "datatype": "FP32", "data": crop.ravel().tolist()}
    body = json.dumps({"inputs": [tensor], "outputs": [{"name": "members"}]}).encode()
    address = f"{url}/v2/models/{model_name}/infer"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:  # noqa: S310
            answer = json.load(reply)
        answered = np.array(answer["outputs"][0]["data"])
    except urllib.error.HTTPError as error:
        return f"the predictor answered {error.code}"
    except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, TypeError):
        return "the predictor does not answer in V2"
    if answer.get("model_version") != version:
        return "another version answers"
    if answered.shape != expected.shape:
        return "another ensemble answers"
    difference = np.abs(answered - expected).max()
    return "" if difference <= tolerance else f"the golden answers differ by {difference:.2g}"


def _array(bundle_folder: Path, name: str) -> NDArray[np.float32]:
    return float32_array(read_plain_file(bundle_folder, f"{GOLDEN}/{name}", MAX_GOLDEN_BYTES))
