"""The compiled pipelines, held against what KFP does silently."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.cluster import compile_pipeline

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """The IR of srs-response, compiled with every option used."""
    path = tmp_path_factory.mktemp("compiled") / "srs-response.yaml"
    compile_pipeline("srs-response", path, parallelism=4, retries=2, timeout_seconds=3600)
    ir, platform = yaml.safe_load_all(path.read_text())
    return ir | {"platform": platform}


def tasks(spec) -> dict:
    """Every task of every (sub-)DAG by name."""
    dags = [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]
    return {name: task for dag in dags for name, task in dag["tasks"].items()}


def test_all_steps_are_there(spec):
    assert {"fingerprint", "preprocess", "split", "train", "evaluate", "promote", "deploy", "close-run"} <= set(
        tasks(spec)
    )


def test_only_preprocess_is_cached(spec):
    executed = {name.removeprefix("exec-") for name in spec["deploymentSpec"]["executors"]}
    cached = {name for name, task in tasks(spec).items() if task.get("cachingOptions", {}).get("enableCache")}
    assert cached & executed == {"preprocess"}


def test_no_cache_key_is_set(spec):
    assert not [name for name, task in tasks(spec).items() if "cacheKey" in task.get("cachingOptions", {})]


def test_cache_inputs_of_preprocess_hold_the_fingerprint(spec):
    assert "fingerprint" in tasks(spec)["preprocess"]["inputs"]["parameters"]


def test_no_task_installs_packages(spec):
    for executor in spec["deploymentSpec"]["executors"].values():
        assert "pip install" not in " ".join(executor["container"].get("command", []))


def test_resources_are_text_parameters_and_inputs_of_the_task(spec):
    container = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
    resources = container["resources"]
    assert resources["accelerator"]["resourceCount"] == "{{$.inputs.parameters['pipelinechannel--gpu_count']}}"
    declared = spec["components"]["comp-train"]["inputDefinitions"]["parameters"]
    for name in ("gpu_type", "gpu_count", "cpu", "memory"):
        assert spec["root"]["inputDefinitions"]["parameters"][name]["parameterType"] == "STRING"
        assert declared[name]["parameterType"] == "STRING"


def test_loop_runs_over_an_unnamed_output_of_text(spec):
    loops = [t for t in tasks(spec).values() if "parameterIterator" in t]
    assert len(loops) == 1
    assert spec["components"]["comp-split"]["outputDefinitions"]["parameters"]["Output"]["parameterType"] == "LIST"
    assert loops[0]["iteratorPolicy"]["parallelismLimit"] == 4


def test_inside_the_loop_no_parameter_of_an_outer_task_is_used(spec):
    inputs = tasks(spec)["train"]["inputs"]["parameters"]
    foreign = {n for n, v in inputs.items() if "taskOutputParameter" in v}
    assert not foreign


def test_every_resource_placeholder_is_an_input_of_its_task(spec):
    container = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
    asked = set(re.findall(r"inputs\.parameters\['([^']+)'\]", str(container["resources"])))
    assert asked
    assert asked <= set(tasks(spec)["train"]["inputs"]["parameters"])


def test_deploy_stands_under_its_condition(spec):
    conditions = [
        t["triggerPolicy"]["condition"] for t in tasks(spec).values() if t.get("triggerPolicy", {}).get("condition")
    ]
    assert len(conditions) == 1
    assert "deploy_to" in conditions[0]
    assert "'kserve'" in conditions[0]
    assert spec["root"]["inputDefinitions"]["parameters"]["deploy_to"]["defaultValue"] == "none"


def test_exit_task_takes_the_final_status(spec):
    status = tasks(spec)["close-run"]["inputs"]["parameters"]["status"]
    assert "taskFinalStatus" in status


def test_retries_and_timeout_stand_on_training(spec):
    assert tasks(spec)["train"]["retryPolicy"]["maxRetryCount"] == 2
    kubernetes = spec["platform"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert kubernetes["exec-train"]["activeDeadlineSeconds"] == "3600"


def test_every_parameter_has_help(spec):
    for name, parameter in spec["root"]["inputDefinitions"]["parameters"].items():
        assert len(parameter.get("description", "")) > 10, name


def test_compiling_twice_gives_the_same_bytes(tmp_path):
    digests = {compile_pipeline("srs-response", tmp_path / f"{i}.yaml") for i in range(2)}
    assert len(digests) == 1


def test_image_option_reaches_every_step(tmp_path):
    out = tmp_path / "p.yaml"
    line = [sys.executable, "-m", "pipelines.cli", "compile", "-o", str(out), "--image", "registry/srs-python:7"]
    subprocess.run(line, check=True, cwd=ROOT, capture_output=True)
    images = {e["container"]["image"] for e in yaml.safe_load(out.read_text())["deploymentSpec"]["executors"].values()}
    assert images == {"registry/srs-python:7"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-o", "x.txt"], "OUTPUT_UNWRITABLE"),
        (["-o", "absent/x.yaml"], "OUTPUT_UNWRITABLE"),
        (["-o", "x.yaml", "--pipeline", "srs"], "PIPELINE_UNKNOWN"),
    ],
)
def test_bad_compile_is_refused_in_words(arguments, code, tmp_path, monkeypatch):
    from pipelines.cli import app

    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["compile", *arguments])
    assert result.exception.code == code
    assert result.exception.exit_code == 2
