import shutil
import stat
import subprocess
import sys

import pytest

from components.train import xla_cache
from components.train.xla_cache import compilation_cache
from tests.infra.manifests import ROOT

#: Prints the folder, a result, and for each compiled program whether it was found there (H) or not (M).
COMPILE = """
import resource, sys
import jax
from components.train.xla_cache import compilation_cache
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event.rpartition("/")[2]))
print(compilation_cache(sys.argv[1]))
if sys.argv[2:] == ["full"]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
print(float(jax.jit(lambda x: (x @ x).sum())(jax.numpy.ones((8, 8)))))
print("".join({"cache_hits": "H", "cache_misses": "M"}.get(event, "") for event in events))
"""


def compile_in_a_process(state, *more) -> tuple[str, str, str, str]:
    """Folder, result and events of a new process, and what it wrote to stderr."""
    environment = {
        "JAX_PLATFORMS": "cpu",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-c", COMPILE, str(state), *more]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=ROOT)
    folder, result, events = done.stdout.splitlines()
    return folder, result, events, done.stderr


def entries(folder):
    return sorted(folder.rglob("*-cache"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A state folder to which one process has written its programs."""
    state = tmp_path_factory.mktemp("xla") / "state"
    folder, result, events, _ = compile_in_a_process(state)
    assert folder.startswith(f"{state}/xla/")
    assert (result, set(events)) == ("512.0", {"M"})
    assert len(entries(state)) == len(events)
    return state


def test_another_process_finds_the_programs(filled):
    _, result, events, _ = compile_in_a_process(filled)
    assert (result, events) == ("512.0", "H" * len(entries(filled)))


@pytest.mark.parametrize("size", [0, 500])
def test_half_written_programs_are_compiled_again(size, filled, tmp_path):
    state = shutil.copytree(filled, tmp_path / "state")
    for entry in entries(state):
        entry.write_bytes(entry.read_bytes()[:size])
    _, result, events, warnings = compile_in_a_process(state)
    assert (result, events) == ("512.0", "M" * len(entries(filled)))
    assert "Error reading persistent compilation cache entry" in warnings


def test_full_disk_costs_only_the_cache(tmp_path):
    _, result, events, warnings = compile_in_a_process(tmp_path, "full")
    assert (result, set(events)) == ("512.0", {"M"})
    assert "Error writing persistent compilation cache entry" in warnings


@pytest.fixture
def pod(tmp_path, monkeypatch):
    """The folder for temporary files; JAX's configuration is left as it was."""
    import jax

    names = ("jax_compilation_cache_dir", "jax_persistent_cache_enable_xla_caches")
    before = {name: getattr(jax.config, name) for name in names}
    folder = tmp_path / "pod"
    folder.mkdir()
    monkeypatch.setattr(xla_cache.tempfile, "tempdir", str(folder))
    yield folder
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.parametrize("state_uri", ["", "s3://bucket/prefix"])
def test_cache_is_in_the_pod_where_the_state_is_no_folder(state_uri, pod):
    folder = compilation_cache(state_uri)
    assert folder.parent == pod
    assert compilation_cache(state_uri) == folder, "the processes of a pod share it"


def test_cache_is_in_the_folder_that_a_file_uri_names(pod, tmp_path):
    assert compilation_cache(f"file://{tmp_path}/state").is_relative_to(tmp_path / "state" / "xla")
    assert list(pod.iterdir()) == []


def test_a_folder_that_others_may_write_to_is_not_used(pod, tmp_path):
    folder = compilation_cache(str(tmp_path))
    folder.chmod(0o777)
    in_pod = compilation_cache(str(tmp_path))
    assert in_pod.parent == pod
    in_pod.chmod(0o777)
    private = compilation_cache(str(tmp_path))
    assert private not in (folder, in_pod)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_a_file_in_the_place_of_the_folder_costs_only_the_cache_there(pod, tmp_path):
    (tmp_path / "xla").touch()
    assert compilation_cache(str(tmp_path)).parent == pod


def test_other_processors_have_a_folder_of_their_own(pod, tmp_path, monkeypatch):
    here = compilation_cache(str(tmp_path))
    monkeypatch.setattr(xla_cache.platform, "machine", lambda: "other")
    assert compilation_cache(str(tmp_path)) != here
