"""Simultaneous promotions, and promotions killed at any moment: the alias is right, and nothing is duplicated."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from components.common import tracking_store
from components.common.errors import RegistryError
from components.model.manifest import Manifest
from components.promote import registry
from components.promote.gate import Verdict
from tests.components.model.bundles import make_bundle

MODEL = "srs-response"
TRIES = 5
#: Processes that start with MLflow already imported.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["components.promote.registry"])


def promote_whole(uri: str, run_id: str, folder: Path, started: Any = None) -> None:
    """What the step does with an ensemble that passes its gate."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    if started is not None:
        started.set()
    model_uri = registry.log_bundle(run_id, folder, "ensemble-A")
    version = registry.register(MODEL, model_uri, run_id, Manifest.read(folder).digest, {"srs.group": "A"}, "# Card")
    for _ in range(TRIES):
        before = registry.champion(MODEL)
        if before is not None and before.version == version:
            return
        verdict = Verdict("promoted", ("Value: enough.",), "A", {})
        try:
            registry.promote(MODEL, version, verdict, expected_previous=before.version if before else "")
        except RegistryError as error:
            if error.code != "CHAMPION_MOVED":
                raise
        else:
            return


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> list[Path]:
    folders = [tmp_path_factory.mktemp(f"bundle{seed}") / "bundle" for seed in (1, 2, 3)]
    for seed, folder in enumerate(folders, start=1):
        make_bundle(folder, seed=seed)
    return folders


@pytest.fixture
def store(tmp_path, monkeypatch) -> tuple[str, str]:
    """Address of a new store, and a run in it."""
    (tmp_path / "mlflow").mkdir()
    uri = f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    tracking_store.prepare_store()
    return uri, str(tracking_store.client().create_run(tracking_store.experiment_id("srs")).info.run_id)


def state(run_id: str) -> tuple[list[str], str, int]:
    """Digests of all versions, the champion's, and the number of finished models of the run."""
    client = MlflowClient()
    versions = client.search_model_versions(f"name = '{MODEL}'")
    champion = registry.champion(MODEL)
    models = client.search_logged_models([client.get_run(run_id).info.experiment_id])
    ready = [model for model in models if str(model.status) in ("READY", "LoggedModelStatus.READY")]
    return sorted(v.tags["srs.bundle_digest"] for v in versions), champion.bundle_digest if champion else "", len(ready)


@pytest.fixture
def child():
    """Starts ``promote_whole`` in a process of its own."""
    running: list[Any] = []

    def start(store: tuple[str, str], folder: Path) -> Any:
        started = CONTEXT.Event()
        process = CONTEXT.Process(target=promote_whole, args=(*store, folder, started))
        process.start()
        running.append(process)
        assert started.wait(120)
        return process

    yield start
    for process in running:
        if process.is_alive():
            process.kill()
        process.join()


def killed_and_repeated(store, bundles, child, moment: float) -> None:
    old, new = (Manifest.read(folder).digest for folder in bundles[:2])
    promote_whole(*store, bundles[0])
    process = child(store, bundles[1])
    process.join(moment)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    digests, champion, _ = state(store[1])
    assert champion in (old, new)
    assert digests in ([old], sorted([old, new]))
    again = child(store, bundles[1])
    again.join(120)
    assert again.exitcode == 0
    assert state(store[1]) == (sorted([old, new]), new, 2)
    info = registry.champion(MODEL)
    assert info is not None
    assert info.tags["srs.previous_champion"] == "1"
    assert info.tags["srs.verdict"] == "promoted"
    assert registry.rollback(MODEL) == "1"


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_promotion_is_complete_after_its_retry(store, bundles, child, seed):
    killed_and_repeated(store, bundles, child, random.Random(seed).uniform(0.0, 1.0))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 22))
def test_a_promotion_killed_at_twenty_moments_is_complete_after_its_retry(store, bundles, child, seed):
    killed_and_repeated(store, bundles, child, random.Random(seed).uniform(0.0, 2.0))


def test_promotions_at_once_leave_one_champion_and_each_version_once(store, bundles, child):
    promote_whole(*store, bundles[0])
    processes = [child(store, folder) for folder in (bundles[1], bundles[2])]
    end = time.monotonic() + 120
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
    assert [process.exitcode for process in processes] == [0, 0]
    digests, champion, models = state(store[1])
    first, *others = (Manifest.read(folder).digest for folder in bundles)
    assert digests == sorted([first, *others])
    assert models == 3
    assert champion in others
    info = registry.champion(MODEL)
    assert info is not None
    (before,) = {"2", "3"} - {info.version}
    assert info.tags["srs.previous_champion"] == before
    assert registry.version_info(MODEL, before).tags["srs.previous_champion"] == "1"
