"""The smoke query: does the predictor that answers now give the pinned bundle's golden answers."""

import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

from components.promote.bundle_files import Bundle


def ask_golden(
    url: str, model_name: str, version: str, bundle_folder: Path, tolerance: float, timeout_s: float = 30.0
) -> str:
    """Sends the golden crop by V2; "" where the pinned version gives the bundle's answers, else what is wrong.

    While a rollout goes on, an old pod may still answer: then the version is not the pinned one.
    """
    golden = Bundle.read(bundle_folder).golden
    crop = golden.crop[np.newaxis]
    tensor = {"name": "crop_hu", "shape": crop.shape, "datatype": "FP32", "data": crop.ravel().tolist()}
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
    if answered.shape != golden.probabilities.shape:
        return "another ensemble answers"
    difference = np.abs(answered - golden.probabilities).max()
    return "" if difference <= tolerance else f"the golden answers differ by {difference:.2g}"
