"""KFP's local cache, with the digest of every file: a task's artifacts are handed back only as they were written."""

import json
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from components.common.files import digest_of, digest_of_file, write_json
from pipelines.local.kfp_patches import OutputCache, cached_by


class CheckedCache(OutputCache):
    """A cache in which an entry that was changed, or whose artifacts were, is none: the task runs again.

    KFP itself looks only whether an artifact's path exists.
    """

    def get(self, key: str) -> dict[str, Any] | None:
        """The outputs kept under ``key``; None where there are none, or they are not what was written."""
        try:
            entry = json.loads(self.path(key).read_bytes())
            outputs, files = entry["outputs"], entry["files"]
            if entry["digest"] != digest_of([outputs, files]) or files != _digests(outputs):
                raise ValueError
            return self.from_json(outputs)
        except FileNotFoundError:
            return None
        except Exception:  # whatever a damaged entry leads to
            logging.warning("What this task left is damaged: it runs again.")
            return None

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Keeps outputs with the digests of their files."""
        kept = self.to_json(outputs)
        files = _digests(kept)
        with self.lock:
            write_json(self.path(key), {"outputs": kept, "files": files, "digest": digest_of([kept, files])})


def checked_cache() -> AbstractContextManager[None]:
    """Has ``kfp.local`` use ``CheckedCache``."""
    return cached_by(CheckedCache)


def _digests(outputs: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Of every artifact among a task's outputs the digests of its files, by their path below it."""
    return {uri: _digests_below(Path(uri)) for uri in _artifacts(list(outputs.values()))}


def _artifacts(value: Any) -> list[str]:
    """Places of artifacts on this machine, wherever they stand in a value as KFP keeps it."""
    if isinstance(value, list):
        return [uri for one in value for uri in _artifacts(one)]
    if not isinstance(value, dict):
        return []
    here = [str(value["uri"])] if OutputCache.is_artifact(value) and "://" not in str(value["uri"]) else []
    return here + _artifacts(list(value.values()))


def _digests_below(path: Path) -> dict[str, str]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {file.relative_to(path).as_posix(): digest_of_file(file) for file in files if file.is_file()}
