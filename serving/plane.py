"""The operations behind REST and gRPC: KServe's data plane finds and calls the model; health and metadata are here."""

import dataclasses
import json
from typing import Any

from components.common.kserve_import import DataPlane, ModelNotFound, ModelRepository
from serving.limits import Limits
from serving.payload import CROP_INPUT, DICOM_INPUT
from serving.predictor import Job, Predictor
from serving.reply import OUTPUTS


class Plane:
    """One model behind KServe's data plane.

    It holds a ``DataPlane`` and does not inherit from it: KServe's own answers about health and metadata are meant for
    servers that load models while they run, or for transformers in front of another server.

    Parameters
    ----------
    model
        The only model that is served.
    limits
        Limits of bodies, which the model's metadata reports.
    stuck_seconds
        Seconds without a finished request, although there is work, after which the server is not alive.
    """

    def __init__(self, model: Predictor, limits: Limits, stuck_seconds: float) -> None:
        self._model, self._limits, self._stuck_seconds = model, limits, stuck_seconds
        repository = ModelRepository()
        repository.update(model)
        self._dataplane = DataPlane(repository)

    @property
    def models(self) -> list[str]:
        """Names of the models served."""
        return [self._model.name]

    def find(self, name: str, version: str | None = None) -> Predictor:
        """The model of this name, and of this version if one is given; raises ``ModelNotFound``."""
        if name != self._model.name or version not in (None, self._model.version):
            raise ModelNotFound(name)
        return self._model

    async def infer(self, name: str, job: Job) -> Any:
        """The encoded result of a job; raises ``ModelNotFound`` and the model's errors."""
        return (await self._dataplane.infer(name, job))[0]

    def is_live(self) -> bool:
        """Whether work is finished within ``stuck_seconds``, if there is any."""
        return self._model.progress.stuck_seconds <= self._stuck_seconds

    def is_ready(self) -> bool:
        """Whether new requests are accepted."""
        return bool(self._model.ready)

    async def model_ready(self, name: str) -> bool:
        """Whether the model of this name is ready; raises ``ModelNotFound``."""
        return bool(await self._dataplane.model_ready(name))

    def metadata(self) -> dict[str, Any]:
        """Name and version of the server; without the repository extension, whose routes are not served."""
        return {**self._dataplane.metadata(), "extensions": ["binary_tensor_data"]}

    def model_metadata(self, name: str) -> dict[str, Any]:
        """Inputs, outputs and facts about the model; raises ``ModelNotFound``."""
        model = self.find(name)
        members = len(model.ensemble.manifest.members)
        sides = {"members": [-1, members]}
        return {
            "name": name,
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
        """What a client needs to select the files to send: how GTVs are found, and how large a zip may be."""
        settings = json.dumps(dataclasses.asdict(model.preprocess_settings))
        return {"preprocess": settings, "max_body_bytes": self._limits.binary_bytes}
