"""A logged bundle, loaded by plain MLflow where this project cannot be imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow.models import ModelSignature

from components.model.bundle import PYFUNC_CODE, pip_requirements, signature
from components.model.runtime import Ensemble
from tests.components.model.bundles import draw_crops, make_bundle

ASK = """
import json, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("components", "serving", "pipelines", "tensorflow", "keras"):
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocker())
import mlflow, numpy as np
model = mlflow.pyfunc.load_model(sys.argv[1])
answers = model.predict(np.load(sys.argv[2]))
print(json.dumps({"columns": list(answers.columns), "rows": answers.to_numpy().tolist()}))
"""


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logged")
    manifest = make_bundle(folder / "bundle")
    mlflow.pyfunc.save_model(
        path=str(folder / "model"),
        python_model=str(PYFUNC_CODE),
        artifacts={"bundle": str(folder / "bundle")},
        pip_requirements=pip_requirements(),
        signature=ModelSignature.from_dict(signature(manifest.members)),
        input_example=np.load(folder / "bundle" / "golden" / "crop.npy")[np.newaxis],
    )
    return folder


def test_loads_and_answers_without_this_project(logged, tmp_path):
    crops = draw_crops(4, np.random.default_rng(8))
    np.save(tmp_path / "crops.npy", crops)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "MLFLOW"))}
    command = [sys.executable, "-c", ASK, str(logged / "model"), "crops.npy"]
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert shown.returncode == 0, shown.stderr
    output = json.loads(shown.stdout.splitlines()[-1])
    ensemble = Ensemble.open(logged / "bundle")
    answers = ["probability", "vote_fraction", "spread", "score", "calibrated_probability", "non_responder"]
    assert output["columns"][:6] == answers
    assert output["columns"][6:] == list(ensemble.manifest.members)
    for row, answer in zip(output["rows"], ensemble.answer(crops), strict=True):
        expected = [float(getattr(answer, name)) for name in answers]
        np.testing.assert_allclose(row, [*expected, *answer.members], atol=1e-6)


def test_the_model_holds_no_pickle_and_names_its_requirements(logged):
    names = [path.name for path in (logged / "model").rglob("*")]
    assert not any(name.endswith((".pkl", ".pickle")) for name in names)
    assert (logged / "model" / "requirements.txt").read_text().split() == pip_requirements()


def test_refuses_a_changed_graph(logged, tmp_path):
    import shutil

    model = Path(shutil.copytree(logged / "model", tmp_path / "model"))
    (graph,) = model.rglob("ensemble.onnx")
    graph.write_bytes(graph.read_bytes() + b"\0")
    with pytest.raises(Exception, match=r"ensemble\.onnx"):
        mlflow.pyfunc.load_model(str(model))
