"""KFP's local cache, with the digest of every file: a task's artifacts are handed back only as they were written."""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kfp.local import cache as kfp_cache

from components.common.files import digest_of, digest_of_file, write_json


class CheckedCache(kfp_cache.LocalCache):  # type: ignore[misc]
    """A cache in which an entry that was changed, or whose artifacts were, is none: the task runs again.

    KFP itself looks only whether an artifact's path exists.
    """

    def get(self, key: str) -> dict[str, Any] | None:
        """The outputs kept under ``key``; None where there are none, or they are not what was written."""
        try:
            entry = json.loads(Path(self._entry_path(key)).read_bytes())
            outputs, files = entry["outputs"], entry["files"]
            if entry["digest"] != digest_of([outputs, files]) or files != _digests(outputs):
                raise ValueError
            return dict(self._deserialize_outputs(outputs))
        except FileNotFoundError:
            return None
        except Exception:  # whatever a damaged entry leads to
            logging.warning("What this task left is damaged: it runs again.")
            return None

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Keeps outputs with the digests of their files."""
        kept = self._serialize_outputs(outputs)
        files = _digests(kept)
        with self._lock:
            write_json(
                Path(self._entry_path(key)), {"outputs": kept, "files": files, "digest": digest_of([kept, files])}
            )


@contextlib.contextmanager
def checked_cache() -> Iterator[None]:
    """Has ``kfp.local`` use ``CheckedCache``: it offers no hook for another."""
    before = kfp_cache.LocalCache
    kfp_cache.LocalCache = CheckedCache
    kfp_cache.reset_local_cache_singleton()
    try:
        yield
    finally:
        kfp_cache.LocalCache = before
        kfp_cache.reset_local_cache_singleton()


def _digests(outputs: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Of every artifact among a task's outputs the digests of its files, by their path below it."""
    return {uri: _digests_below(Path(uri)) for uri in _artifacts(list(outputs.values()))}


def _artifacts(value: Any) -> list[str]:
    """Places of artifacts on this machine, wherever they stand in a value as KFP keeps it."""
    if isinstance(value, list):
        return [uri for one in value for uri in _artifacts(one)]
    if not isinstance(value, dict):
        return []
    here = [str(value["uri"])] if kfp_cache._ARTIFACT_MARKER in value and "://" not in str(value["uri"]) else []
    return here + _artifacts(list(value.values()))


def _digests_below(path: Path) -> dict[str, str]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {file.relative_to(path).as_posix(): digest_of_file(file) for file in files if file.is_file()}
