"""Code of a bundle's MLflow model: MLflow stores this file and runs it wherever the model is loaded.

It imports nothing of this project, since only the packages of ``bundle.pip_requirements()`` are installed there.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when the runtime is loaded
import onnxruntime


class EnsembleModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Predicts one row for each of [n, 151, 151] float32 crops in HU."""

    def load_context(self, context: Any) -> None:
        """Opens the bundle among the model's artifacts; refuses a modified graph."""
        folder = Path(context.artifacts["bundle"])
        self.manifest = json.loads((folder / "manifest.json").read_text())
        graph = (folder / "ensemble.onnx").read_bytes()
        if hashlib.sha256(graph).hexdigest() != self.manifest["files"]["ensemble.onnx"]:
            raise ValueError("ensemble.onnx is not the file that the manifest names")
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    # MLflow derives a schema from other type hints of the input, or warns; with np.ndarray it uses the signature.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> pd.DataFrame:  # noqa: ARG002
        """Mean probability of non-response, vote fraction, spread, score, calibrated probability, label, and members.

        The calibrated probability is NaN for a bundle without Platt scaling.

        Parameters
        ----------
        context
            Not used, since the bundle is already open.
        model_input
            [n, 151, 151] float32, HU, as cut by ``components.imaging.crop``; NaN and infinity are refused.
        params
            Ignored.
        """
        crops = np.asarray(model_input, np.float32)
        if crops.ndim != 3 or not np.isfinite(crops).all():
            raise ValueError("expected finite crops in HU of shape [n, 151, 151]")
        members = self.session.run(None, {"crop_hu": crops})[0].astype(np.float64)
        answers = pd.DataFrame(
            {
                "probability": members.mean(axis=1),
                "vote_fraction": (members > 0.5).mean(axis=1),
                "spread": members.std(axis=1),
            }
        )
        primary = {"mean": "probability", "vote": "vote_fraction"}[self.manifest["ensemble_score"]]
        answers["score"] = answers[primary]
        answers["calibrated_probability"] = self._calibrated(answers["score"].to_numpy())
        answers["non_responder"] = (answers["score"] > self.manifest["cut_off"]).astype(np.int64)
        return answers.assign(**dict(zip(self.manifest["members"], members.T, strict=True)))

    def _calibrated(self, score: np.ndarray) -> np.ndarray:
        """Platt scaling of the score's logit; scores are clipped to [0.01, 0.99] as when it was fitted."""
        scaling = self.manifest.get("calibration") or {"intercept": np.nan, "slope": np.nan}
        clipped = np.clip(score, 0.01, 0.99)
        logit = np.log(clipped / (1 - clipped))
        return np.asarray(1 / (1 + np.exp(-(scaling["intercept"] + scaling["slope"] * logit))))


mlflow.models.set_model(EnsembleModel())
