"""A registry for tests: three versions, each of which was champion, in a real SQLite store with their files."""

import sqlite3
from pathlib import Path

from components.common import tracking_store
from components.model.manifest import Manifest
from components.promote import registry
from components.promote.gate import Verdict
from tests.components.model.bundles import make_bundle

MODEL = "srs-response"
PROMOTED = Verdict("promoted", ("Value: enough.",), "A", {})


def make_versions(folder: Path) -> None:
    """Fills the store of ``MLFLOW_TRACKING_URI``; bundles are written to ``folder``."""
    tracking_store.prepare_store()
    run_id = tracking_store.client().create_run(tracking_store.experiment_id("srs")).info.run_id
    previous = ""
    for seed in (1, 2, 3):
        make_bundle(folder / str(seed), seed=seed)
        digest = Manifest.read(folder / str(seed)).digest
        uri = registry.log_bundle(run_id, folder / str(seed), "ensemble-A")
        version = registry.register(MODEL, uri, run_id, digest, {"srs.group": "A"}, "card")
        registry.promote(MODEL, version, PROMOTED, expected_previous=previous)
        previous = version


def delete(database: Path, *versions: int) -> None:
    """Deletes versions as MLflow may: the version goes and its alias stays (mlflow issue 24825)."""
    with sqlite3.connect(database) as connection:
        for version in versions:
            connection.execute("delete from model_version_tags where version = ?", [version])
            connection.execute("delete from model_versions where version = ?", [version])


def lose_files(database: Path, version: int) -> None:
    """Moves the version's files away from where the registry has them."""
    with sqlite3.connect(database) as connection:
        gone = f"file://{database.parent}/gone"
        change = "update model_versions set storage_location = ?, source = ? where version = ?"
        connection.execute(change, [gone, gone, version])
