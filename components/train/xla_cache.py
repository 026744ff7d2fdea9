"""The folder in which JAX stores compiled programs, so that a pack that starts again does not compile them again."""

import hashlib
import os
import platform
import stat
import tempfile
from pathlib import Path

import jax


def compilation_cache(state_uri: str) -> Path:
    """Makes JAX store compiled programs in ``xla`` in the folder ``state_uri``, or else in the pod; returns the folder.

    Call it before the first compilation of a process. A cache that cannot be read or written costs only its benefit:
    JAX then warns and compiles. It may be deleted at any time.
    """
    folder = next(filter(_is_ours, _candidates(state_uri)), None) or Path(tempfile.mkdtemp(prefix="srs-xla-"))
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # XLA's own caches of autotuning would lie there too, and XLA fails where it cannot write them.
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
    return folder


def _candidates(state_uri: str) -> list[Path]:
    root, machine = state_uri.removeprefix("file://"), _machine()
    inside = [Path(root) / "xla" / machine] if root and "://" not in root else []
    return [*inside, Path(tempfile.gettempdir()) / f"srs-xla-{os.getuid()}-{machine}"]


def _machine() -> str:
    """A name for this kind of processor: a program may use instructions that another kind lacks."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        facts = {line for line in lines if line.startswith(("model name", "flags", "Features", "CPU "))}
    except OSError:  # macOS
        facts = {platform.node()}
    return hashlib.sha256("\n".join([platform.machine(), *sorted(facts)]).encode()).hexdigest()[:16]


def _is_ours(folder: Path) -> bool:
    """Whether only this user, or a group that shares the volume, writes here: what lies here is run as code."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
    except OSError:
        return False
    return facts.st_uid == os.getuid() and not facts.st_mode & stat.S_IWOTH and os.access(folder, os.W_OK)
