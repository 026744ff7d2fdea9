"""Processors by affinity and cgroup, with the hierarchies of Docker, Kubernetes and systemd in a temporary folder."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.common.processors import processors
from pipelines.doctor.machine import examine

V2 = "31 23 0:28 {top} /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate"
V1 = "33 31 0:30 {top} /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct"
V1_MEMORY = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def machine(root: Path, cgroup: str, mounts: list[str], files: dict[str, str]) -> Path:
    files = {"proc/self/cgroup": cgroup, "proc/self/mountinfo": "\n".join(mounts), **files}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("1000 100000", 1),
        ("1600000 100000", 8),
        ("250000 50000", 5),
        ("junk", 8),
        ("", 8),
        ("0 0", 8),
    ],
)
def test_a_containers_quota_limits_the_affinity_and_is_rounded_up(tmp_path: Path, quota: str, count: int) -> None:
    root = machine(tmp_path, "0::/", [V2.format(top="/")], {"sys/fs/cgroup/cpu.max": quota})
    assert processors(root) == count


def test_the_smallest_quota_of_all_parents_applies(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/kubepods/cpu.max": "400000 100000",
        "sys/fs/cgroup/kubepods/pod1/cpu.max": "300000 100000",
        "sys/fs/cgroup/kubepods/pod1/c1/cpu.max": "max 100000",
        "sys/fs/cgroup/kubepods/pod2/cpu.max": "100000 100000",  # another's
    }
    assert processors(machine(tmp_path, "0::/kubepods/pod1/c1", [V2.format(top="/")], files)) == 3


def test_a_service_of_systemd_is_limited_though_the_root_is_not(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/system.slice/srs.service/cpu.max": "200000 100000"}
    assert processors(machine(tmp_path, "0::/system.slice/srs.service", [V2.format(top="/")], files)) == 2


def test_a_container_that_sees_its_hosts_path(tmp_path: Path) -> None:
    """Without a cgroup namespace: the mount shows the container's own part of the tree alone."""
    mounts, files = [V2.format(top="/docker/abc")], {"sys/fs/cgroup/cpu.max": "200000 100000"}
    assert processors(machine(tmp_path, "0::/docker/abc", mounts, files)) == 2


@pytest.mark.parametrize("path", ["/../../other", "/elsewhere"])
def test_a_path_outside_the_mount_leaves_the_mounts_own_quota(tmp_path: Path, path: str) -> None:
    mounts, files = [V2.format(top="/docker/abc")], {"sys/fs/cgroup/cpu.max": "200000 100000"}
    assert processors(machine(tmp_path, f"0::{path}", mounts, files)) == 2


def test_the_first_version_of_cgroups(tmp_path: Path) -> None:
    tree = "sys/fs/cgroup/cpu,cpuacct/docker"
    files = {
        f"{tree}/cpu.cfs_quota_us": "-1",
        f"{tree}/cpu.cfs_period_us": "100000",
        f"{tree}/abc/cpu.cfs_quota_us": "250000",
        f"{tree}/abc/cpu.cfs_period_us": "100000",
    }
    cgroup = "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc"
    assert processors(machine(tmp_path, cgroup, [V1_MEMORY, V1.format(top="/")], files)) == 3


def test_both_versions_side_by_side(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/unified/cpu.max": "max 100000",
    }
    unified = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
    assert processors(machine(tmp_path, "4:cpu,cpuacct:/\n0::/", [V1.format(top="/"), unified], files)) == 4


@pytest.mark.parametrize("cgroup", ["", "nonsense", "0::", "4:cpu"])
def test_without_cgroups_the_affinity_counts(tmp_path: Path, cgroup: str) -> None:
    assert processors(tmp_path) == 8
    assert processors(machine(tmp_path, cgroup, ["", "junk - cgroup2"], {})) == 8


def test_where_there_is_no_affinity_all_processors_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors(tmp_path) == 1


@given(st.lists(st.one_of(st.none(), st.integers(1, 2_000_000)), min_size=1, max_size=5))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_never_more_than_the_smallest_quota_rounded_up(tmp_path: Path, quotas: list[int | None]) -> None:
    files, path = {}, "sys/fs/cgroup"
    for level, quota in enumerate(quotas):
        path += f"/{level}"
        files[f"{path}/cpu.max"] = f"{'max' if quota is None else quota} 100000"
    cgroup = "0::" + path.removeprefix("sys/fs/cgroup")
    tightest = min([800_000, *(quota for quota in quotas if quota is not None)])
    assert processors(machine(tmp_path, cgroup, [V2.format(top="/")], files)) == max(1, -(-tightest // 100_000))


def test_all_callers_use_this_one_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other module asks the machine how many processors it has, nor does a benchmark."""
    root = Path(__file__).parents[3]
    asks = ("cpu_count", "sched_getaffinity", "cpu.max")
    folders = ("components", "pipelines", "serving", "infra", "tests")
    modules = [path for folder in folders for path in (root / folder).rglob("*.py") if path != Path(__file__)]
    askers = [path.name for path in modules if any(word in path.read_text() for word in asks)]
    assert askers == ["processors.py"]
    monkeypatch.setattr("pipelines.doctor.machine.processors", lambda: 5)
    monkeypatch.setattr("pipelines.doctor.machine._devices", lambda: None)
    assert [found.text for found in examine(tmp_path, 0) if found and found.what == "cores"] == ["5"]
