"""The registry with a real SQLite store: bundles, versions, aliases, races."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mlflow import MlflowClient

from components.common import tracking_store
from components.common.artifacts.dataset import TUMOUR_COLUMNS, Dataset, Flow
from components.common.artifacts.members import Member
from components.common.artifacts.splits import MemberSplit
from components.common.errors import BundleError, RegistryError
from components.common.presets import resolve
from components.imaging.crop import ImageDefinition
from components.model.bundle import write_bundle
from components.model.bundle_files import Bundle
from components.model.export import ensemble_graph
from components.model.golden import GoldenInput
from components.model.manifest import Manifest
from components.model.network import window_scale
from components.model.networks.building import build_network
from components.model.signing import SigningKey
from components.promote import registry
from components.promote.gate import Verdict
from tests.components.common.member_facts import made_facts

MODEL = "srs-response"
SIZES = {"filters_1": 2, "filters_2": 2, "kernel_1": 5, "pool_1": 4, "pool_2": 4, "dense_1": 4, "dense_2": 3}
SETTINGS = resolve("default", {"network": SIZES})
PROMOTED = Verdict("promoted", ("Value: enough.",), "A", {"mean_auc": 0.8})
REFUSED = Verdict("refused", ("Value: too little.",), "A", {"mean_auc": 0.5})


def bundle(folder: Path, seed: int, members: int = 3) -> Path:
    """A bundle of drawn weights, its golden case a disc."""
    rng = np.random.default_rng(seed)
    crops = rng.normal(40, 20, (6, 151, 151)).astype(np.float32)
    table = pd.DataFrame({name: [f"{name}-{i}" for i in range(6)] for name in TUMOUR_COLUMNS})
    dataset = Dataset(crops, table, Flow(6, 6, (), 6, 6), ImageDefinition().to_dict(), True, "d" * 64)
    split = [MemberSplit("A", i, ("tumour-0", "tumour-1"), ("tumour-2",), ("tumour-5",)) for i in range(1, members + 1)]
    network = build_network(SETTINGS)
    weights = [
        {
            name: rng.normal(0, 0.3 if name.endswith("_kernel") else 0, shape).astype(np.float32)
            for name, shape in network.shapes.items()
        }
        for _ in split
    ]
    graph = ensemble_graph(network, weights, window_scale(SETTINGS.train)).SerializeToString()
    answers = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {"crop_hu": crops})[0]
    pairs = zip(split, weights, answers.T, strict=True)
    trained = [Member(of, drawn, pd.DataFrame(), answer, made_facts()) for of, drawn, answer in pairs]
    rows, columns = np.mgrid[:96, :96]
    disc = (30 + 40 * ((rows - 48) ** 2 + (columns - 48) ** 2 < 200)).astype(np.float32)
    contour = np.array([[40.0, 40.0], [56.0, 40.0], [56.0, 56.0], [40.0, 56.0]])
    golden = GoldenInput(disc, (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), contour)
    write_bundle(folder, trained, dataset=dataset, network=network, settings=SETTINGS, golden=golden)
    return folder


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("bundles")
    return [bundle(root / str(seed) / "bundle", seed) for seed in (1, 2, 3)]


@pytest.fixture(autouse=True)
def run_id(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run in a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow/mlflow.db")
    (tmp_path / "mlflow").mkdir()
    shutil.copyfile(empty_store, tmp_path / "mlflow" / "mlflow.db")
    return str(tracking_store.client().create_run(tracking_store.experiment_id("srs")).info.run_id)


def put(run_id: str, folder: Path, **more: Any) -> str:
    uri = registry.log_bundle(run_id, folder, "ensemble-A")
    tags = {"srs.group": "A", **more}
    return registry.register(MODEL, uri, run_id, Manifest.read(folder).digest, tags, "# Model card")


def aliases() -> dict[str, str]:
    return {alias: str(version) for alias, version in MlflowClient().get_registered_model(MODEL).aliases.items()}


def test_a_bundle_becomes_one_model_and_one_version_however_often(run_id: str, bundles: list[Path]) -> None:
    versions = [put(run_id, bundles[0]) for _ in range(2)] + [put(run_id, bundles[1])]
    assert versions == ["1", "1", "2"]
    run = MlflowClient().get_run(run_id)
    assert len(run.outputs.model_outputs) == 2
    version = MlflowClient().get_model_version(MODEL, "1")
    assert version.description == "# Model card"
    assert version.run_id == run_id


def test_an_unfinished_model_is_finished(run_id: str, bundles: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "finalize_logged_model", dies)
        with pytest.raises(KeyboardInterrupt):
            registry.log_bundle(run_id, bundles[0], "ensemble-A")
    uri = registry.log_bundle(run_id, bundles[0], "ensemble-A")
    experiment = MlflowClient().get_run(run_id).info.experiment_id
    models = MlflowClient().search_logged_models([experiment])
    assert [(f"models:/{model.model_id}", model.status) for model in models] == [(uri, "READY")]


def test_plain_mlflow_predicts_without_this_project(run_id: str, bundles: list[Path], tmp_path: Path) -> None:
    registry.promote(MODEL, put(run_id, bundles[0]), PROMOTED, expected_previous="")
    done = subprocess.run([sys.executable, "-c", OUTSIDER], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    golden = np.load(bundles[0] / "golden" / "probabilities.npy")
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(golden.mean(), abs=1e-5)


OUTSIDER = """
import json, sys
sys.modules.update(components=None, serving=None, pipelines=None)  # importing them now fails
import mlflow, numpy as np
model = mlflow.pyfunc.load_model("models:/srs-response@champion")
print(json.dumps(model.predict(np.float32(model.input_example)).probability[0]))
"""


def test_the_signature_and_example_are_those_of_crops(run_id: str, bundles: list[Path]) -> None:
    import mlflow

    info = mlflow.models.get_model_info(registry.log_bundle(run_id, bundles[0], "ensemble-A"))
    assert info.signature.inputs.inputs[0].shape == (-1, 151, 151)
    assert info.signature.inputs.inputs[0].type == np.float32
    assert info.saved_input_example_info is not None


def test_downloads_the_bundle_that_was_registered(run_id: str, bundles: list[Path], tmp_path: Path) -> None:
    registry.promote(MODEL, put(run_id, bundles[0]), PROMOTED, expected_previous="")
    for _ in range(2):
        folder = registry.download(MODEL, "champion", tmp_path / "served")
        assert Manifest.read(folder) == Manifest.read(bundles[0])
        assert Bundle.read(folder).manifest == Manifest.read(folder)
    assert registry.version_of(MODEL, "champion") == "1"
    assert registry.download(MODEL, "1", tmp_path / "served") == folder
    assert len(list((tmp_path / "served").iterdir())) == 1
    with pytest.raises(RegistryError, match="no version of srs-response has the alias challenger"):
        registry.download(MODEL, "challenger", tmp_path / "served")


def test_refuses_a_version_whose_bundle_was_replaced(run_id: str, bundles: list[Path], tmp_path: Path) -> None:
    uri = registry.log_bundle(run_id, bundles[0], "ensemble-A")
    version = registry.register(MODEL, uri, run_id, "another digest", {}, "")
    with pytest.raises(BundleError, match="another bundle"):
        registry.download(MODEL, version, tmp_path / "served")


def signer() -> SigningKey:
    return SigningKey(Ed25519PrivateKey.generate())


def test_a_registered_version_is_signed(run_id: str, bundles: list[Path], tmp_path: Path) -> None:
    import mlflow

    version, served = put(run_id, bundles[0]), tmp_path / "served"
    registry.download(MODEL, version, served)
    for key in (signer(), signer()):  # what was fetched unsigned, or signed with another key, is fetched anew
        registry.sign(MODEL, version, key)
        assert Bundle.read(registry.download(MODEL, version, served), key.public).signed_by == key.public.fingerprint
        assert registry.version_info(MODEL, version).tags["srs.signed_by"] == key.public.fingerprint
    files = Path(registry.source_uri(MODEL, version).removeprefix("file://"))  # what KServe fetches
    (signature,) = files.glob("artifacts/*/manifest.sig")
    assert Bundle.read(signature.parent, key.public).signed_by
    assert mlflow.pyfunc.load_model(f"models:/{MODEL}/{version}").metadata.run_id == run_id


def test_a_replaced_bundle_is_neither_signed_nor_promoted(run_id: str, bundles: list[Path]) -> None:
    one = put(run_id, bundles[0])
    files = Path(registry.source_uri(MODEL, one).removeprefix("file://"))
    (graph,) = files.glob("artifacts/*/ensemble.onnx")
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="was changed"):
        registry.promote_by_hand(MODEL, one, "seen by the board", signer())
    assert aliases() == {}
    assert not list(files.glob("artifacts/*/manifest.sig"))


def test_a_models_description_cannot_name_a_bundle_outside(run_id: str, bundles: list[Path], tmp_path: Path) -> None:
    version = put(run_id, bundles[0])
    bundle = registry.download(MODEL, version, tmp_path / "served")
    fetched, named = bundle.parents[1], f"artifacts/{bundle.name}"
    (fetched / "artifacts" / "link").symlink_to(bundles[0])
    described = (fetched / "MLmodel").read_text()
    assert f"path: {named}\n" in described
    for path in ("../../elsewhere", "/etc", "artifacts/link", str(bundles[0])):
        (fetched / "MLmodel").write_text(described.replace(f"path: {named}\n", f"path: {path}\n"))
        with pytest.raises(BundleError, match="names no bundle in its folder"):
            registry.download(MODEL, version, tmp_path / "served")


def test_nothing_is_champion_before_the_first() -> None:
    assert registry.champion(MODEL) is None
    with pytest.raises(RegistryError) as caught:
        registry.rollback(MODEL)
    assert caught.value.code == "NO_CHAMPION"


def test_promoting_moves_the_alias_and_records_the_reasons(run_id: str, bundles: list[Path]) -> None:
    one, two = put(run_id, bundles[0]), put(run_id, bundles[1])
    assert registry.promote(MODEL, one, PROMOTED, expected_previous="") == ""
    for _ in range(2):  # a retried promote step
        assert registry.promote(MODEL, two, PROMOTED, expected_previous=one) == one
    champion = registry.champion(MODEL)
    assert champion is not None
    assert (champion.version, champion.group, champion.run_id) == (two, "A", run_id)
    assert champion.bundle_digest == Manifest.read(bundles[1]).digest
    assert champion.tags["srs.previous_champion"] == one
    assert champion.tags["srs.reasons"] == "Value: enough."
    assert champion.tags["srs.gate.mean_auc"] == "0.8"


def test_a_refused_version_is_challenger_until_it_is_promoted(run_id: str, bundles: list[Path]) -> None:
    one, two = put(run_id, bundles[0]), put(run_id, bundles[1])
    registry.promote(MODEL, one, PROMOTED, expected_previous="")
    registry.promote(MODEL, two, REFUSED, expected_previous=one)
    assert aliases() == {"champion": one, "reference": one, "challenger": two}
    assert registry.promote_by_hand(MODEL, two, "seen by the board") == one
    assert aliases() == {"champion": two, "reference": two}
    assert registry.version_info(MODEL, two).tags["srs.reasons"] == "Decided by a person: seen by the board"


def test_a_champion_whose_rerun_is_refused_remains_champion(run_id: str, bundles: list[Path]) -> None:
    one = put(run_id, bundles[0])
    registry.promote(MODEL, one, PROMOTED, expected_previous="")
    registry.promote(MODEL, one, REFUSED, expected_previous=one)
    assert aliases() == {"champion": one, "reference": one}


def test_a_verdict_against_a_former_champion_is_not_applied(run_id: str, bundles: list[Path]) -> None:
    one, two, three = (put(run_id, folder) for folder in bundles)
    registry.promote(MODEL, one, PROMOTED, expected_previous="")
    registry.promote(MODEL, two, PROMOTED, expected_previous=one)
    for verdict in (PROMOTED, REFUSED):
        with pytest.raises(RegistryError) as caught:
            registry.promote(MODEL, three, verdict, expected_previous=one)
        assert caught.value.code == "CHAMPION_MOVED"
    assert aliases() == {"champion": two, "reference": one}


def test_rollback_goes_back_step_by_step(run_id: str, bundles: list[Path]) -> None:
    one, two, three = (put(run_id, folder) for folder in bundles)
    for version, before in ((one, ""), (two, one), (three, two)):
        registry.promote(MODEL, version, PROMOTED, expected_previous=before)
    assert registry.rollback(MODEL, reason="wrong cohort") == two
    assert registry.version_info(MODEL, three).tags["srs.rolled_back"] == "wrong cohort"
    assert registry.rollback(MODEL) == one
    with pytest.raises(RegistryError) as caught:
        registry.rollback(MODEL)
    assert caught.value.code == "NO_PREVIOUS"


def test_the_first_champion_is_the_reference_until_a_person_promotes_another(run_id: str, bundles: list[Path]) -> None:
    first, second, third = (put(run_id, folder) for folder in bundles)
    registry.promote(MODEL, first, PROMOTED, expected_previous="")
    registry.promote(MODEL, second, PROMOTED, expected_previous=first)
    assert aliases() == {"champion": second, "reference": first}
    registry.promote_by_hand(MODEL, third, "seen by the tumour board")
    assert aliases() == {"champion": third, "reference": third}
    registry.rollback(MODEL)
    assert aliases() == {"champion": second, "reference": first}
    registry.rollback(MODEL)
    assert aliases() == {"champion": first, "reference": first}


def test_a_first_champion_that_cannot_be_deployed_is_no_reference(run_id: str, bundles: list[Path]) -> None:
    first, second = (put(run_id, folder) for folder in bundles[:2])
    registry.promote(MODEL, first, PROMOTED, expected_previous="")
    registry.rollback(MODEL, failed_deploy=first)
    assert aliases() == {}
    registry.promote(MODEL, second, PROMOTED, expected_previous="")
    assert aliases() == {"champion": second, "reference": second}


def test_a_failed_deploy_restores_the_alias_unless_it_was_moved(run_id: str, bundles: list[Path]) -> None:
    one, two = put(run_id, bundles[0]), put(run_id, bundles[1])
    registry.promote(MODEL, one, PROMOTED, expected_previous="")
    registry.promote(MODEL, two, PROMOTED, expected_previous=one)
    assert registry.rollback(MODEL, failed_deploy=one, reason="late") == two
    assert registry.rollback(MODEL, failed_deploy=two, reason="not ready") == one
    assert registry.version_info(MODEL, two).tags["srs.deploy_failed"] == "not ready"
    assert registry.rollback(MODEL, failed_deploy=one, reason="not ready") == ""
    assert registry.champion(MODEL) is None


def test_a_promotion_killed_before_the_alias_is_completed_by_its_retry(
    run_id: str, bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = put(run_id, bundles[0]), put(run_id, bundles[1])
    registry.promote(MODEL, one, PROMOTED, expected_previous="")

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", dies)
        with pytest.raises(KeyboardInterrupt):
            registry.promote(MODEL, two, PROMOTED, expected_previous=one)
    assert aliases() == {"champion": one, "reference": one}
    assert registry.promote(MODEL, two, PROMOTED, expected_previous=one) == one
    assert aliases() == {"champion": two, "reference": one}


def _race(uri: str, version: str, results: Any) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        registry.promote(MODEL, version, Verdict("promoted", ("raced",), "A", {}), expected_previous="1")
        results.put(version)
    except RegistryError as error:
        results.put(error.code)


def test_of_two_simultaneous_promotions_one_is_refused(run_id: str, bundles: list[Path]) -> None:
    one, two, three = (put(run_id, folder) for folder in bundles)
    registry.promote(MODEL, one, PROMOTED, expected_previous="")
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    uri = tracking_store.tracking_uri()
    racers = [context.Process(target=_race, args=(uri, version, results)) for version in (two, three)]
    for racer in racers:
        racer.start()
    ended = {results.get(timeout=120) for _ in racers}
    for racer in racers:
        racer.join(timeout=60)
    champion = registry.champion(MODEL)
    assert champion is not None
    assert ended == {champion.version, "CHAMPION_MOVED"}
    assert champion.tags["srs.previous_champion"] == one


def test_bundles_registered_at_once_make_one_version_each(run_id: str, bundles: list[Path]) -> None:
    versions: list[str] = []
    threads = [threading.Thread(target=lambda f=f: versions.append(put(run_id, f))) for f in bundles for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(versions)) == ["1", "2", "3"]
    assert len(versions) == 6
    assert len(MlflowClient().search_model_versions(f"name = '{MODEL}'")) == 3


def test_on_a_server_writers_take_turns_by_a_lease(
    run_id: str, bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = put(run_id, bundles[0])
    monkeypatch.setattr(tracking_store, "store_folder", lambda: None)
    inside: list[int] = []

    def work() -> None:
        with tracking_store.exclusive(MODEL):
            inside.append(1)
            assert len(inside) == 1
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A writer that died left its lease behind: it is taken over once it has run out.
    MlflowClient().create_registered_model(f"{MODEL}.lease", {"holder": "dead", "until_ms": "1"})
    registry.promote(MODEL, one, PROMOTED, expected_previous="")
    assert [model.name for model in MlflowClient().search_registered_models()] == [MODEL]


def test_long_texts_fit_into_a_server_database(run_id: str, bundles: list[Path]) -> None:
    uri = registry.log_bundle(run_id, bundles[0], "ensemble-A")
    version = registry.register(MODEL, uri, run_id, "digest", {"srs.note": "n" * 6000}, "c" * 6000)
    stored = MlflowClient().get_model_version(MODEL, version)
    assert len(stored.description) == len(stored.tags["srs.note"]) == 5000
