"""Registered versions as Keras models: loaded by MLflow, compared by the gate, exported by ``srs export``."""

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest

from components.common import tracking_store
from components.common.errors import BundleError, InputError
from components.model.bundle_files import Bundle
from components.model.manifest import KERAS_DIGEST
from components.model.runtime import Ensemble
from components.promote import bundles as written_bundles
from components.promote import downloads, registry
from components.promote.bundle_model import KERAS_FILE
from components.promote.bundles import Bundles
from components.promote.load_rule import Loads, check_load
from pipelines.local.exporting import KERAS, ONNX, SAVED_MODEL, chosen_form, write_model
from tests.components.model.bundles import SETTINGS, draw_crops, draw_weights, golden_input, make_dataset, make_members

MODEL = "srs-response"


@pytest.fixture(scope="module")
def crops():
    return draw_crops(5, np.random.default_rng(9))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The bundles and Keras models of a step, with that of two members called A."""
    rng, dataset = np.random.default_rng(1), make_dataset(np.random.default_rng(2))
    members = make_members(dataset, SETTINGS, rng, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(written_bundles, "golden_case", golden_input)
        splits = SimpleNamespace(network={}, settings=SETTINGS)
        bundles = Bundles(tmp_path_factory.mktemp("bundles"), dataset, splits, members)
    bundles.write("A", members)
    return SimpleNamespace(bundles=bundles, members=members, dataset=dataset)


@pytest.fixture
def version(written, empty_store, tmp_path, monkeypatch):
    """The version under which A is registered."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow/mlflow.db")
    (tmp_path / "mlflow").mkdir()
    shutil.copyfile(empty_store, tmp_path / "mlflow" / "mlflow.db")
    run_id = tracking_store.client().create_run(tracking_store.experiment_id("srs")).info.run_id
    uri = written.bundles.log(run_id, "A", "ensemble-A")
    digest = Bundle.read(written.bundles.folder("A")).manifest.digest
    return registry.register(MODEL, uri, run_id, digest, {"srs.group": "A"}, "card")


def test_the_same_members_give_the_same_bundle_again(written):
    first = Bundle.read(written.bundles.folder("A")).manifest
    shutil.rmtree(written.bundles.folder("A"))
    assert written.bundles.write("A", written.members).digest == first.digest
    assert set(first.extra) == {KERAS_DIGEST}


def test_the_gate_compares_the_bundle_with_tensorflow(written, crops):
    bundles = written.bundles
    load = check_load(bundles.folder("A"), bundles.keras_file("A"), crops)
    assert load.ok
    assert "for the golden case and 5 evaluation tumours, TensorFlow's answers differ by" in load.text


def test_a_bundle_is_checked_once_and_beside_other_work(monkeypatch):
    asked, may_answer = [], threading.Event()

    def check(*files):
        asked.append(files)
        assert may_answer.wait(60)
        return f"load of {files[0]}"

    monkeypatch.setattr("components.promote.load_rule.check_load", check)
    with ThreadPoolExecutor(1) as beside:
        loads = Loads(lambda group: (group, f"{group}.keras", None), beside)
        loads.begin("A")  # returns, though the check cannot end yet
        may_answer.set()
        assert [loads.of(group) for group in ("A", "B", "A")] == ["load of A", "load of B", "load of A"]
    assert asked == [("A", "A.keras", None), ("B", "B.keras", None)]


def test_the_gate_refuses_a_bundle_that_differs_from_its_keras_model(written, crops, tmp_path):
    other = Bundles(tmp_path, written.dataset, SimpleNamespace(network={}, settings=SETTINGS), written.members)
    rng = np.random.default_rng(5)
    weights = [(member.id, draw_weights(other._network, rng)) for member in written.members]
    written_bundles.save_keras(
        written_bundles.ensemble_model(other._network, weights, SETTINGS.train), tmp_path / "other.keras"
    )
    load = check_load(written.bundles.folder("A"), tmp_path / "other.keras", crops)
    assert not load.ok
    assert "at most 1e-05 is allowed" in load.text


LOAD = """
import json, sys, mlflow, numpy as np
model = mlflow.keras.load_model(sys.argv[1])
print(json.dumps(np.asarray(model(np.load(sys.argv[2]))).tolist()))
"""


def test_mlflow_loads_both_flavours_where_this_project_is_not_installed(version, written, crops, tmp_path):
    np.save(tmp_path / "crops.npy", crops)
    removed = ("PYTHONPATH",)
    environment = {name: value for name, value in os.environ.items() if name not in removed}
    command = [sys.executable, "-c", LOAD, f"models:/{MODEL}/{version}", "crops.npy"]
    environment["KERAS_BACKEND"] = "tensorflow"
    shown = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert shown.returncode == 0, shown.stderr
    answers = np.array(json.loads(shown.stdout.splitlines()[-1]))
    expected = Ensemble.open(written.bundles.folder("A")).probabilities(crops)
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    rows = mlflow.pyfunc.load_model(f"models:/{MODEL}/{version}").predict(crops)
    np.testing.assert_allclose(rows[["A-01", "A-02"]], expected, atol=1e-6)


def test_a_version_is_exported_in_each_format(version, written, crops, tmp_path):
    bundles = written.bundles
    for form, name, original in (
        (KERAS, "one.keras", bundles.keras_file("A")),
        (ONNX, "one.onnx", bundles.folder("A") / "ensemble.onnx"),
    ):
        assert write_model(registry, MODEL, version, form, tmp_path / "out" / name) == version
        assert (tmp_path / "out" / name).read_bytes() == original.read_bytes()
    write_model(registry, MODEL, version, SAVED_MODEL, tmp_path / "out" / "saved")
    assert (tmp_path / "out" / "saved" / "saved_model.pb").is_file()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.keras", "one.onnx", "saved"]


def test_a_keras_model_that_was_changed_is_not_exported(version, tmp_path):
    (file,) = (
        (tmp_path / "mlflow").rglob(str(KERAS_FILE))
        if list((tmp_path / "mlflow").rglob("model.keras"))
        else (Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version}")) / KERAS_FILE,)
    )
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(BundleError, match="not the one that the manifest names") as caught:
        write_model(registry, MODEL, version, KERAS, tmp_path / "out.keras")
    assert caught.value.code == "BUNDLE_DAMAGED"
    assert not (tmp_path / "out.keras").exists()


def test_a_version_without_a_keras_model_says_so(version, written, tmp_path, monkeypatch):
    folder = registry.download(MODEL, version, tmp_path / "download")
    manifest = Bundle.read(folder).manifest
    plain = SimpleNamespace(extra={})
    monkeypatch.setattr("components.promote.downloads.Manifest.read", lambda _: plain)
    with pytest.raises(BundleError, match="wrote no Keras model") as caught:
        downloads.keras_model(MODEL, version, folder)
    assert caught.value.code == "KERAS_MISSING"
    assert "--onnx" in caught.value.hint
    assert KERAS_DIGEST in manifest.extra


@pytest.mark.parametrize(
    ("out", "flags", "message"),
    [
        ("x.keras", {}, "one of --keras"),
        ("x.keras", {"keras": True, "onnx": True}, "one of --keras"),
        ("x.h5", {"keras": True}, r"ends in \.keras"),
        ("there.keras", {"keras": True}, "exists already"),
    ],
)
def test_an_export_that_cannot_be_meant_is_refused(out, flags, message, tmp_path):
    (tmp_path / "there.keras").write_text("precious")
    with pytest.raises(InputError, match=message):
        chosen_form(tmp_path / out, **{"keras": False, "onnx": False, "saved_model": False, **flags})
    assert (tmp_path / "there.keras").read_text() == "precious"
