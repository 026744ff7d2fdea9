"""Contracts of kfp's internals that this project relies on: if a new kfp breaks one, a test names what fails."""

import builtins
import importlib.metadata
import inspect
import json
import re
import threading
import time
import types
from pathlib import Path

import kfp
import kfp_server_api
import pytest
from kfp import dsl, local
from kfp.local import cache, config, logging_utils, status, subprocess_task_handler, task_dispatcher
from kfp.local.orchestrator import enhanced_dag_orchestrator

from pipelines.cluster import server
from pipelines.local import kfp_patches

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # kfp's own, once a task


def moved(ours: str, breaks: str, theirs: str) -> str:
    """The message about a contract that kfp no longer meets."""
    version = importlib.metadata.version("kfp")
    return f"kfp {version} has moved {theirs}: {breaks}. Adapt {ours}."


PATCHES = "pipelines/local/kfp_patches.py"
LOGS = "a local run's tasks no longer write their logs, show their progress, say why they failed or stop at Ctrl-C"
CACHE = "a local run would take a task's outputs from kfp's own cache though a file of them was changed"


@dsl.component(base_image="python", install_kfp_package=False)
def contract_task(number: int, word: str = "some"):
    pass


@dsl.pipeline
def one():
    contract_task(number=1).set_caching_options(False)


@dsl.pipeline
def looping():
    with dsl.ParallelFor([1, 2, 3, 4, 5, 6]) as number:
        contract_task(number=number).set_caching_options(False)


@pytest.fixture
def started(tmp_path):
    """``kfp.local`` with its own pipeline root; restored afterwards."""
    before = config.LocalExecutionConfig.instance
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"), enable_caching=True)
    cache.reset_local_cache_singleton()
    yield tmp_path
    config.LocalExecutionConfig.instance = before
    cache.reset_local_cache_singleton()


def commands_of(pipeline) -> list[list[str]]:
    """The commands that kfp passes to the replacement of ``run_local_subprocess``."""
    commands = []

    def run(full_command, env_vars=None):
        commands.append(full_command)
        return 0

    with kfp_patches.tasks_run_by(run):
        pipeline()
    return commands


def test_run_local_subprocess_is_what_runs_a_task(started):
    why = moved(f"{PATCHES}: tasks_run_by", LOGS, "kfp.local.subprocess_task_handler.run_local_subprocess")
    known = inspect.signature(getattr(subprocess_task_handler, "run_local_subprocess", None) or (lambda: None))
    assert list(known.parameters) == ["full_command", "env_vars"], why
    assert len(commands_of(one)) == 1, why


@pytest.mark.parametrize(("code", "expected"), [(0, status.Status.SUCCESS), (1, status.Status.FAILURE)])
def test_the_exit_code_of_the_replacement_decides_how_a_task_ended(code, expected):
    why = moved(f"{PATCHES}: tasks_run_by", "a task that failed would count as done", "SubprocessTaskHandler.run")
    command = ["sh", "-c", "python3 -m kfp.dsl.executor_main"]
    handler = subprocess_task_handler.SubprocessTaskHandler("python", command, "", local.SubprocessRunner(False))
    with kfp_patches.tasks_run_by(lambda *_, **__: code):
        assert handler.run() == expected, why


def test_a_tasks_command_names_its_function_and_its_input(started):
    why = moved(f"{PATCHES}: task_of", "a local run does not know its tasks' names", "the executor's command line")
    (command,) = commands_of(one)
    try:
        function, given = kfp_patches.task_of(command)
    except ValueError:
        pytest.fail(why)
    assert function == "contract_task", why
    assert given["inputs"]["parameterValues"] == {"number": 1, "word": "some"}, why


def test_kfp_wraps_print_by_indented_print_and_not_under_the_patch(started):
    why = moved(
        f"{PATCHES}: print_left_alone",
        "print stays wrapped after a local run, once for every task that ran beside another",
        "kfp.local.logging_utils.indented_print",
    )
    seen = []
    real = builtins.print
    assert task_dispatcher.logging_utils is logging_utils, why
    with kfp_patches.tasks_run_by(lambda *_, **__: seen.append(builtins.print) or 0):
        one()
        with kfp_patches.print_left_alone():
            one()
    assert seen[0] is not real, f"kfp no longer wraps print: drop print_left_alone of {PATCHES}"
    assert seen[1] is real, why


def most_at_a_time() -> int:
    """How many tasks of a loop of six kfp runs at a time."""
    lock, running, most = threading.Lock(), 0, 0

    def run(full_command, env_vars):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.2)
        with lock:
            running -= 1
        return 0

    with kfp_patches.tasks_run_by(run):
        looping()
    return most


def test_parallel_executor_bounds_the_tasks_of_a_loop(started):
    theirs = "kfp.local.orchestrator.enhanced_dag_orchestrator.ParallelExecutor"
    why = moved(f"{PATCHES}: loops_of", "srs run --parallelism has no effect: members train two at a time", theirs)
    executor = getattr(enhanced_dag_orchestrator, "ParallelExecutor", None)
    assert executor is not None, why
    assert vars(executor(5)) == {"conservative_max": 2, "max_workers": 2}, f"{why} (or kfp does as asked: drop it)"
    with kfp_patches.loops_of(4):
        assert most_at_a_time() == 4, why
    with kfp_patches.loops_of(1):
        assert most_at_a_time() == 1, why


def test_local_cache_is_made_by_its_name_and_kept_in_a_singleton(started):
    why = moved(f"{PATCHES}: cached_by", CACHE, "kfp.local.cache.get_local_cache")
    before = type(cache.get_local_cache())
    with kfp_patches.cached_by(kfp_patches.OutputCache):
        assert type(cache.get_local_cache()) is kfp_patches.OutputCache, why
    assert type(cache.get_local_cache()) is before is cache.LocalCache, why


def test_a_task_uses_the_local_cache_by_get_and_put(started):
    why = moved(f"{PATCHES}: OutputCache", CACHE, "kfp.local.cache.LocalCache.get and .put")
    calls = []

    class Asked(kfp_patches.OutputCache):
        def get(self, _key):
            calls.append("get")

        def put(self, _key, _outputs):
            calls.append("put")

    @dsl.pipeline
    def cached():
        contract_task(number=1)

    with kfp_patches.cached_by(Asked), kfp_patches.tasks_run_by(lambda *_, **__: 0):
        cached()
    assert calls == ["get", "put"], why


@pytest.mark.parametrize("name", ["_entry_path", "_serialize_outputs", "_deserialize_outputs"])
def test_private_methods_of_local_cache_are_there(name):
    why = moved(f"{PATCHES}: OutputCache", CACHE, f"kfp.local.cache.LocalCache.{name}")
    method = getattr(cache.LocalCache, name, None)
    assert callable(method), why
    assert len([one for one in inspect.signature(method).parameters if one != "self"]) == 1, why


def test_entries_of_local_cache_are_files_and_its_artifacts_are_marked(tmp_path):
    why = moved(f"{PATCHES}: OutputCache", CACHE, "kfp.local.cache.LocalCache's form of an entry")
    (tmp_path / "crops").write_text("crops")
    kept = kfp_patches.OutputCache(str(tmp_path / "cache"))
    artifact = dsl.HTML(name="page", uri=str(tmp_path / "crops"), metadata={"n": 1})
    values = json.loads(json.dumps(kept.to_json({"page": artifact, "all": [artifact], "Output": [1, "a"]})))
    assert kept.path("key") == tmp_path / "cache" / "key.json", why
    assert kept.is_artifact(values["page"]), why
    assert kept.is_artifact(values["all"]["artifacts"][0]), why
    assert values["page"]["uri"] == str(tmp_path / "crops"), why
    assert values["Output"] == [1, "a"], why
    again = kept.from_json(values)
    assert (type(again["page"]), again["page"].uri, again["page"].metadata) == (dsl.HTML, artifact.uri, {"n": 1}), why
    with kept.lock:
        assert kept.lock.locked(), why


def test_a_missing_artifact_is_not_returned(tmp_path):
    why = moved(f"{PATCHES}: OutputCache.from_json", CACHE, "kfp.local.cache.LocalCache._deserialize_artifact")
    kept = kfp_patches.OutputCache(str(tmp_path / "cache"))
    values = kept.to_json({"page": dsl.HTML(name="page", uri=str(tmp_path / "gone"))})
    try:
        found = kept.from_json(values)
    except Exception:  # kfp's own, which has no public name
        return
    pytest.fail(f"{why} (it gave {found})")


def test_the_client_knows_the_address_of_the_ui():
    why = moved("pipelines/cluster/server.py: Server.link", "srs submit prints no link", "kfp.Client._get_url_prefix")
    assert callable(getattr(kfp.Client, "_get_url_prefix", None)), why
    assert list(inspect.signature(kfp.Client._get_url_prefix).parameters) == ["self"], why
    assert "_get_url_prefix" in inspect.getsource(server), "server.py no longer uses it: drop this test"


def test_calls_of_the_client_pass_call_api_and_request():
    why = moved(
        "pipelines/cluster/connection.py: _bounded",
        "a call of srs submit waits without end, and a login page is taken for an empty answer",
        "kfp_server_api.ApiClient.call_api and .request",
    )
    passed = []
    client = kfp_server_api.ApiClient(kfp_server_api.Configuration(host="http://127.0.0.1:1"))
    holder = types.SimpleNamespace()
    kfp.client.client._add_generated_apis(holder, kfp_server_api, client)  # as kfp.Client does for itself
    list_pipelines = holder.pipelines.pipeline_service_list_pipelines
    assert list_pipelines.__self__.api_client is client, why
    real = client.call_api

    def call_api(*arguments, **options):
        passed.append("_request_timeout" in options)
        return real(*arguments, **options)

    def request(*arguments, **options):
        passed.append(options["_request_timeout"])
        raise InterruptedError

    client.call_api, client.request = call_api, request
    with pytest.raises(InterruptedError):
        list_pipelines(_request_timeout=3)
    assert passed == [True, 3], why


def test_a_memory_limit_by_parameter_is_a_channel_of_its_task():
    why = moved(
        "pipelines/definitions/pods.py: place",
        "a limit that is a parameter is not handed down to the training pods",
        "dsl.PipelineTask.register_pipeline_channels",
    )
    assert callable(getattr(dsl.PipelineTask, "register_pipeline_channels", None)), why


def test_private_modules_of_kfp_are_imported_in_one_place_only():
    users = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "pipelines").rglob("*.py")
        if re.search(r"^\s*(from kfp\.local|import kfp\.local)", path.read_text(), re.MULTILINE)
    }
    assert users == {PATCHES}
