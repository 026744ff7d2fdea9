"""The smoke query: checks that a predictor reproduces the pinned bundle's golden case."""

import http.client
import json
import urllib.error
import urllib.request

import numpy as np

from components.model.golden import GoldenCase
from components.model.manifest import INPUT


def query_golden_case(
    url: str, model_name: str, version: str, golden: GoldenCase, tolerance: float, timeout_s: float = 30.0
) -> str:
    """Sends the golden crop by V2; returns "" if the pinned version reproduces its probabilities, else why not.

    During a rollout an old pod may still reply; its version is then not the pinned one.
    """
    crop = golden.crop[np.newaxis]
    tensor = {"name": INPUT, "shape": crop.shape, "datatype": "FP32", "data": crop.ravel().tolist()}
    body = json.dumps({"inputs": [tensor], "outputs": [{"name": "members"}]}).encode()
    address = f"{url}/v2/models/{model_name}/infer"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:  # noqa: S310
            answer = json.load(reply)
        members = np.array(answer["outputs"][0]["data"], np.float64)
    except urllib.error.HTTPError as error:
        return f"the predictor returned status {error.code}"
    except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, TypeError):
        return "the predictor does not reply in the V2 protocol"
    if answer.get("model_version") != version:
        return "another version replied"
    if members.shape != golden.probabilities.shape:
        return "another ensemble replied"
    difference = golden.difference(members)
    return "" if difference <= tolerance else f"the golden answers differ by {difference:.2g}"
