"""How many processors this process may use: one count for training, preprocessing, serving and the doctor.

A container's limit is not an affinity but a quota of its cgroup or of one above it; the smallest quota applies.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

#: Files in which Linux lists a process's cgroups, and where their hierarchies are mounted.
CGROUPS, MOUNTS = "proc/self/cgroup", "proc/self/mountinfo"


def processors(root: Path = Path("/")) -> int:
    """Whole processors, at least one: the affinity, limited by the smallest quota, rounded up.

    Parameters
    ----------
    root
        Folder with ``proc`` and ``sys``; tests use another one.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _folders(root) if (quota := _quota(folder)) is not None]
    return max(1, min([allowed, *(math.ceil(quota) for quota in quotas)]))


def _folders(root: Path) -> Iterator[Path]:
    """The process's cgroup and those above it, in each hierarchy that can limit processors."""
    for mount, top, controllers in _mounts(root):
        for line in _lines(root / CGROUPS):
            number, named, path = [*line.split(":", 2), "", ""][:3]
            if (number == "0" and not named) if controllers is None else "cpu" in named.split(","):
                yield from _upwards(mount, _below(path, top))


def _mounts(root: Path) -> Iterator[tuple[Path, str, set[str] | None]]:
    """Mount point, the cgroup that is mounted there, and a v1 hierarchy's controllers (None for v2)."""
    for line in _lines(root / MOUNTS):
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        controllers = None if kind[0] == "cgroup2" else set(kind[2].split(","))
        if controllers is None or "cpu" in controllers:
            yield root / fields[4].lstrip("/"), fields[3], controllers


def _below(path: str, top: str) -> PurePosixPath:
    """A cgroup's path relative to ``top``, the one that is mounted; ``.`` where it lies elsewhere."""
    if ".." in PurePosixPath(path).parts or not PurePosixPath(path).is_relative_to(top):
        return PurePosixPath()
    return PurePosixPath(path).relative_to(top)


def _upwards(mount: Path, path: PurePosixPath) -> Iterator[Path]:
    yield from (mount / part for part in (path, *path.parents))


def _quota(folder: Path) -> float | None:
    """Processors that a cgroup may use, None without a limit: ``cpu.max`` (v2), or CFS quota and period (v1)."""
    fields = " ".join(_lines(folder / "cpu.max")).split()
    if not fields:
        fields = [*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")]
    try:
        quota, period = (int(field) for field in fields)
    except ValueError:  # "max", or nothing there
        return None
    return quota / period if quota > 0 and period > 0 else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
