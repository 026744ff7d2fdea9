"""The compiled pipelines with a real bucket: cohort, member store, MLflow's artifacts and bundles are in it.

One process stands in for each pod.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import components
from rich.console import Console

from components.common import tracking_store
from components.model.manifest import Manifest
from components.model.runtime import Ensemble
from components.promote import registry
from pipelines.cluster.compiling import compile_pipeline
from pipelines.definitions.options import Compiled
from pipelines.local.display import ConsoleDisplay
from pipelines.local.home import Home
from pipelines.local.runs import Run, run_pipeline
from pipelines.local.session import outcome_of

pytestmark = pytest.mark.slow

COHORT, MEMBERS, MLFLOW = "s3://dicom/cohort", "s3://models/members", "s3://models/mlflow"


@pytest.fixture
def home(s3, tmp_path, monkeypatch) -> Home:
    """A folder for files outside the pods: MLflow's store of runs; its artifacts are in the bucket."""
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3.environment["S3_ENDPOINT"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    tracking_store.prepare_store()
    tracking_store.client().create_experiment("srs-response", MLFLOW)
    return Home.open(tmp_path / "home")


def run(name: str, home: Home, **arguments: Any) -> Run:
    """Runs the YAML that ``srs compile`` writes; KFP's reader of it fills in no defaults."""
    package = home.path / f"{name}.yaml"
    compile_pipeline(name, package, Compiled(retries=1))
    declared = next(yaml.safe_load_all(package.read_text()))["root"]["inputDefinitions"]["parameters"]
    kinds = {"NUMBER_INTEGER": int}
    defaults = {
        name: kinds.get(one["parameterType"], type(one["defaultValue"]))(one["defaultValue"])
        for name, one in declared.items()
        if "defaultValue" in one
    }
    pipeline = components.load_component_from_file(str(package))
    with ConsoleDisplay(Console(quiet=True)) as display:
        return run_pipeline(pipeline, defaults | arguments, home, display)


def test_a_cohort_in_a_bucket_becomes_a_champion_in_a_bucket(home: Home, tmp_path: Path) -> None:
    run("phantom", home, cohort_uri=COHORT, tumours=40, patients=34, seed=3, signal=3.0)
    study = {"cohort_uri": COHORT, "state_uri": MEMBERS, "preset": "fast", "members_per_task": 3}
    study["settings"] = json.dumps({"gate": {"accept": "few_members"}})
    first = outcome_of(run("srs-response", home, **study))
    assert (first.verdict, first.reused, first.members, first.preprocessed) == ("promoted", 0, 6, True)
    assert registry.source_uri("srs-response", first.version).startswith(f"{MLFLOW}/models/m-")
    bundle = registry.download("srs-response", "champion", tmp_path / "served")
    assert Ensemble.open(bundle).manifest == Manifest.read(bundle)

    again = outcome_of(run("srs-response", home, **study))
    assert (again.verdict, again.reused, again.members, again.preprocessed) == ("promoted", 6, 6, False)
    assert again.version == first.version
