"""KServe's data plane, which finds and calls the model for REST and gRPC, as it is of this server."""

import dataclasses
import json
from typing import Any

from kserve.protocol.dataplane import DataPlane

from serving.limits import Limits
from serving.payload import CROP_INPUT, DICOM_INPUT
from serving.predictor import Predictor
from serving.reply import OUTPUTS


class Plane(DataPlane):  # type: ignore[misc]
    """KServe's data plane that says what is true of this server."""

    def __init__(self, models: Any, limits: Limits, stuck_seconds: float) -> None:
        super().__init__(model_registry=models)
        self._limits, self._stuck_seconds = limits, stuck_seconds

    def is_live(self) -> bool:
        """Whether some work was finished of late where there is any."""
        models = self.model_registry.get_models().values()
        return all(model.progress.stuck_seconds <= self._stuck_seconds for model in models)

    async def ready(self) -> bool:
        """Whether every model is ready."""
        return all(model.ready for model in self.model_registry.get_models().values())

    def metadata(self) -> dict[str, Any]:
        """Without the repository extension, whose routes are not served."""
        return {**super().metadata(), "extensions": ["binary_tensor_data"]}

    async def model_metadata(self, model_name: str) -> dict[str, Any]:
        """Inputs, outputs and what is served; raises ``ModelNotFound``."""
        model: Predictor = self.get_model_from_registry(model_name)
        members = len(model.ensemble.manifest.members)
        sides = {"members": [-1, members]}
        return {
            "name": model_name,
            "versions": [model.version] if model.version else [],
            "platform": "onnxruntime_onnx",
            "inputs": [
                {"name": CROP_INPUT, "datatype": "FP32", "shape": [-1, 151, 151]},
                {"name": DICOM_INPUT, "datatype": "BYTES", "shape": [-1]},
            ],
            "outputs": [{"name": n, "datatype": kind, "shape": sides.get(n, [-1])} for n, kind in OUTPUTS.items()],
            "parameters": {**model.facts, "group": model.ensemble.manifest.group, **self._for_senders(model)},
        }

    def _for_senders(self, model: Predictor) -> dict[str, Any]:
        """By what a sender chooses what to send of a study: how GTVs are found, and how large a zip may be."""
        settings = json.dumps(dataclasses.asdict(model.preprocess_settings))
        return {"preprocess": settings, "max_body_bytes": self._limits.binary_bytes}
