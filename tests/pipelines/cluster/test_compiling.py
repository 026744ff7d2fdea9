"""The compiled pipelines contain nothing that KFP accepts but then ignores, or fails on late."""

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2
from typer.testing import CliRunner

from components.common.environment import PSEUDONYM_KEY, S3_KEYS, SIGNING_KEY
from components.common.errors import InputError
from pipelines.cluster.compiling import PIPELINES, compile_pipeline
from pipelines.definitions.options import Compiled
from pipelines.definitions.pods import ADDRESSES

ROOT = Path(__file__).parents[3]
EVERY_OPTION = Compiled(
    image="registry.example/srs-python:7",
    parallelism=4,
    retries=3,
    timeout_seconds=3600,
    shared_memory="2Gi",
    state_claim="srs-members",
    config_map="addresses",
    s3_secret="bucket-keys",
    pseudonym_secret="study-key",
    signing_secret="bundle-key",
    run_as_user=20002,
)
PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")


@dataclasses.dataclass(frozen=True)
class Spec:
    """One compiled pipeline: its intermediate representation, and what goes to Kubernetes."""

    name: str
    options: Compiled
    ir: dict[str, Any]
    platform: dict[str, Any]

    def dags(self) -> Iterator[dict[str, Any]]:
        yield self.ir["root"]
        yield from (component for component in self.ir["components"].values() if "dag" in component)

    def tasks(self) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
        """Every task, with the component whose DAG contains it."""
        for component in self.dags():
            for name, task in component["dag"]["tasks"].items():
                yield component, name, task

    def task(self, wanted: str) -> dict[str, Any]:
        return next(task for _, name, task in self.tasks() if name == wanted)

    def component(self, task: dict[str, Any]) -> dict[str, Any]:
        return self.ir["components"][task["componentRef"]["name"]]

    def containers(self) -> dict[str, dict[str, Any]]:
        executors = self.ir["deploymentSpec"]["executors"]
        return {name.removeprefix("exec-"): executor["container"] for name, executor in executors.items()}

    def pods(self) -> dict[str, dict[str, Any]]:
        executors = self.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        return {name.removeprefix("exec-"): pod for name, pod in executors.items()}


def parameters(component: dict[str, Any]) -> dict[str, Any]:
    return component.get("inputDefinitions", {}).get("parameters", {})


def strings(value: Any) -> Iterator[str]:
    """All text anywhere in a value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def values_of(value: Any, key: str) -> Iterator[Any]:
    """The values of ``key`` at any depth of a value."""
    if isinstance(value, dict):
        yield from ([value[key]] if key in value else [])
        for inner in value.values():
            yield from values_of(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from values_of(inner, key)


CASES = {
    f"{name}-{which}": (name, options)
    for name in PIPELINES
    for which, options in (("default", Compiled()), ("all", EVERY_OPTION))
}


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def spec(request, tmp_path_factory) -> Spec:
    name, options = request.param
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compile_pipeline(name, path, options)
    ir, platform = yaml.safe_load_all(path.read_text())
    return Spec(name, options, ir, platform)


@pytest.fixture(scope="module")
def main(tmp_path_factory) -> Spec:
    """srs-response with every option used."""
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compile_pipeline("srs-response", path, EVERY_OPTION)
    return Spec("srs-response", EVERY_OPTION, *yaml.safe_load_all(path.read_text()))


def test_is_what_the_backend_parses(spec):
    json_format.ParseDict(spec.ir, pipeline_spec_pb2.PipelineSpec())
    for pod in spec.pods().values():
        json_format.ParseDict(pod, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def test_every_parameter_reaches_the_task_that_names_it(spec):
    """The compiler does not pass a resource parameter down into a DAG (loop, If, exit handler), and the run fails."""
    for component, name, task in spec.tasks():
        inputs = task.get("inputs", {}).get("parameters", {})
        known = parameters(component)
        lost = {source for source in values_of(inputs, "componentInputParameter") if source not in known}
        assert not lost, f"{name} reads {lost}"
        below = spec.component(task)
        if "dag" in below:
            lost = {parameter for parameter in parameters(below) if parameter not in inputs}
            lost -= {task.get("parameterIterator", {}).get("itemInput")}
            assert not lost, f"{name} does not pass on {lost}"


def test_pods_name_only_parameters_that_reach_them(spec):
    for component, name, task in spec.tasks():
        inputs = task.get("inputs", {}).get("parameters", {})
        for text in strings(spec.containers().get(name, {}).get("resources", {})):
            assert set(PLACEHOLDER.findall(text)) <= set(inputs), name
        for source in values_of(spec.pods().get(name, {}), "componentInputParameter"):
            assert source in parameters(component), name


def test_every_parameter_of_a_pipeline_is_used(spec):
    used = set(values_of(spec.ir["root"]["dag"], "componentInputParameter"))
    assert set(parameters(spec.ir["root"])) <= used


def test_resource_parameters_are_text(spec):
    """An integer resolves to nothing, and a GPU request disappears silently."""
    named = {name for text in strings(spec.containers()) for name in PLACEHOLDER.findall(text)}
    for name in named:
        assert parameters(spec.ir["root"])[name.removeprefix("pipelinechannel--")]["parameterType"] == "STRING"
    assert len(named) == (5 if spec.name == "srs-response" else 0)


def test_a_loop_reads_no_parameter_of_an_outer_task(spec):
    """It would silently get the loop's item instead."""
    for _, name, task in spec.tasks():
        if "parameterIterator" in task:
            items = task["parameterIterator"]["items"]["inputParameter"]
            for parameter, source in task["inputs"]["parameters"].items():
                assert parameter == items or "taskOutputParameter" not in source, f"{name}: {parameter}"


def test_loops_run_over_text_of_an_unnamed_output(spec):
    assert not list(values_of(spec.ir, "artifactIterator"))
    for component, _, task in spec.tasks():
        if "parameterIterator" in task:
            items = task["inputs"]["parameters"][task["parameterIterator"]["items"]["inputParameter"]]
            source = items["taskOutputParameter"]
            assert source["outputParameterKey"] == "Output"
            producer = spec.component(component["dag"]["tasks"][source["producerTask"]])
            assert producer["outputDefinitions"]["parameters"]["Output"]["parameterType"] == "LIST"
            item = parameters(spec.component(task))[task["parameterIterator"]["itemInput"]]
            assert item["parameterType"] == "STRING"


def test_conditions_use_only_parameters_of_the_pipeline(spec):
    """One on a named output or a field of a loop's item is skipped, and the run succeeds."""
    for component, name, task in spec.tasks():
        condition = task.get("triggerPolicy", {}).get("condition", "")
        for name in re.findall(r"inputs\.parameter_values\['([^']+)'\]", condition):
            source = task["inputs"]["parameters"][name]["componentInputParameter"]
            assert source.removeprefix("pipelinechannel--") in parameters(spec.ir["root"]), name
            assert source in parameters(component)
    assert not list(values_of(spec.ir, "parameterExpressionSelector"))


def test_only_preprocess_is_cached(spec):
    cached = {name for _, name, task in spec.tasks() if task.get("cachingOptions", {}).get("enableCache")}
    assert cached & set(spec.containers()) == (set() if spec.name == "phantom" else {"preprocess"})
    assert not list(values_of(spec.ir, "cacheKey"))


def test_nothing_is_installed_at_run_time(spec):
    assert not [text for text in strings(spec.containers()) if re.search(r"pip3? install|-m pip|ensurepip", text)]


def test_every_pod_is_limited_and_not_root(spec):
    assert set(spec.pods()) == set(spec.containers())
    for name, container in spec.containers().items():
        assert {"resourceCpuLimit", "resourceMemoryLimit"} <= set(container["resources"]), name
        assert container["image"] == spec.options.image
        user = str(spec.options.run_as_user)
        assert spec.pods()[name]["securityContext"] == {"runAsUser": user, "runAsGroup": user, "runAsNonRoot": True}


def test_secrets_and_addresses_come_by_reference(spec):
    readers = set() if spec.name == "phantom" else {"fingerprint", "preprocess"}
    for name, pod in spec.pods().items():
        assert not list(values_of(spec.containers()[name], "env"))
        secrets = {secret["secretName"]: secret["keyToEnv"] for secret in pod["secretAsEnv"]}
        wanted = {spec.options.s3_secret: S3_KEYS}
        wanted |= {spec.options.pseudonym_secret: (PSEUDONYM_KEY,)} if name in readers else {}
        signs = name == "promote" and spec.options.signing_secret
        wanted |= {spec.options.signing_secret: (SIGNING_KEY,)} if signs else {}
        assert secrets == {
            secret: [{"envVar": key, "secretKey": key} for key in keys] for secret, keys in wanted.items()
        }
        [addresses] = pod["configMapAsEnv"]
        assert addresses["configMapName"] == spec.options.config_map
        assert {pair["envVar"] for pair in addresses["keyToEnv"]} == set(ADDRESSES)
        assert addresses["optional"] is True  # a bucket with an AWS address needs none of the endpoints


def test_every_parameter_has_help_and_the_description_lists_the_options(spec):
    for name, parameter in parameters(spec.ir["root"]).items():
        assert len(parameter.get("description", "")) > 10, name
    assert str(spec.options) in spec.ir["pipelineInfo"]["description"]


def test_all_steps_are_below_the_exit_handler(main):
    assert set(main.ir["root"]["dag"]["tasks"]) == {"exit-handler-1", "close-run"}
    close = main.task("close-run")
    assert close["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    assert "taskFinalStatus" in close["inputs"]["parameters"]["status"]
    steps = {"fingerprint", "preprocess", "split", "train", "evaluate", "promote", "deploy", "close-run"}
    assert set(main.containers()) == steps


def test_cache_inputs_of_preprocess_hold_the_fingerprint(main):
    assert "fingerprint" in main.task("preprocess")["inputs"]["parameters"]


def test_deploy_is_below_its_condition(main):
    [condition] = [
        t["triggerPolicy"]["condition"] for _, _, t in main.tasks() if t.get("triggerPolicy", {}).get("condition")
    ]
    assert "deploy_to" in condition
    assert "'kserve'" in condition
    assert parameters(main.ir["root"])["deploy_to"]["defaultValue"] == "none"


def test_options_apply_to_training_only(main):
    loop = next(task for _, _, task in main.tasks() if "parameterIterator" in task)
    assert loop["iteratorPolicy"]["parallelismLimit"] == 4
    assert main.task("train")["retryPolicy"] == {
        "backoffDuration": "30s", "backoffFactor": 2.0, "backoffMaxDuration": "3600s", "maxRetryCount": 3
    }  # fmt: skip
    pod = main.pods()["train"]
    assert pod["activeDeadlineSeconds"] == "3600"
    assert pod["emptyDirMounts"] == [
        {"medium": "Memory", "mountPath": "/dev/shm", "sizeLimit": "2Gi", "volumeName": "shared-memory"}
    ]
    assert [(mount["constant"], mount["mountPath"]) for mount in pod["pvcMount"]] == [("srs-members", "/state")]
    others = [task for _, name, task in main.tasks() if name != "train"]
    assert not [task for task in others if "retryPolicy" in task]


def test_a_default_run_needs_no_gpu(main):
    """KFP's driver then sets a limit of 0 GPUs, and the scheduler passes over a quantity of zero."""
    given = {name: parameter.get("defaultValue") for name, parameter in parameters(main.ir["root"]).items()}
    assert (given["gpu_count"], given["node_selector"], given["tolerations"]) == ("0", {}, [])
    assert [name for name, parameter in parameters(main.ir["root"]).items() if not parameter.get("isOptional")] == [
        "cohort_uri"
    ]


def pods(spec: Spec, component: dict[str, Any], packs: int, *, deploys: bool) -> int:
    """Pods of a DAG: its driver, and of each task a driver and, where it has a container, that."""
    count = 1
    for task in component["dag"]["tasks"].values():
        below = spec.component(task)
        if "dag" not in below:
            count += 2
        elif "parameterIterator" in task:
            count += 1 + packs * pods(spec, below, packs, deploys=deploys)
        elif task.get("triggerPolicy", {}).get("condition") and not deploys:
            count += 1
        else:
            count += pods(spec, below, packs, deploys=deploys)
    return count


def test_page_gives_the_pods_of_a_run(main):
    page = (ROOT / "docs" / "platform-engineer.md").read_text()
    for members, packs in ((50, 2), (5000, 200)):
        count = pods(main, main.ir["root"], packs, deploys=False)
        assert f"| {members:,} members, {packs} packs | {count} |" in page
    assert pods(main, main.ir["root"], 2, deploys=True) == pods(main, main.ir["root"], 2, deploys=False) + 2


@pytest.mark.parametrize("name", PIPELINES)
def test_the_same_bytes_in_another_process_folder_and_hash_seed(name, tmp_path):
    digests = {compile_pipeline(name, tmp_path / "here.yaml", EVERY_OPTION)}
    script = f"""
from pathlib import Path
from pipelines.cluster.compiling import compile_pipeline
from pipelines.definitions.options import Compiled
print(compile_pipeline({name!r}, Path("there.yaml"), {EVERY_OPTION!r}))
"""
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, env=env, capture_output=True)
        digests.add(done.stdout.decode().strip())
    assert len(digests) == 1
    assert (tmp_path / "here.yaml").read_bytes() == (tmp_path / "there.yaml").read_bytes()


def test_options_change_the_digest_and_the_command_prints_it(tmp_path):
    out = tmp_path / "p.yaml"
    line = [sys.executable, "-m", "pipelines.commands.cli", "compile", "-o", str(out), "--retries", "0"]
    done = subprocess.run(line, check=True, cwd=ROOT, capture_output=True, text=True)
    plain = compile_pipeline("srs-response", tmp_path / "q.yaml", Compiled(retries=0))
    assert plain in done.stdout
    assert plain != compile_pipeline("srs-response", tmp_path / "r.yaml", Compiled(retries=1))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-o", "x.txt"], "OUTPUT_UNWRITABLE"),
        (["-o", "absent/x.yaml"], "OUTPUT_UNWRITABLE"),
        (["-o", "x.yaml", "--pipeline", "srs"], "PIPELINE_UNKNOWN"),
        (["-o", "x.yaml", "--shm", "2GB"], "COMPILE_OPTION_INVALID"),
    ],
)
def test_invalid_compilation_is_refused(arguments, code, tmp_path, monkeypatch):
    from pipelines.commands.cli import app

    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["compile", *arguments])
    assert result.exception.code == code
    assert result.exception.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_names_all_bad_options_at_once():
    with pytest.raises(InputError) as caught:
        Compiled(image="a b", s3_secret="A_b", state_claim="-", shared_memory="much", run_as_user=0)
    for word in ("image", "s3_secret", "state_claim", "shared_memory", "run_as_user"):
        assert word in str(caught.value)
