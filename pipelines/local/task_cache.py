"""KFP's local cache with the digest of every file, so that changed or damaged artifacts are never reused."""

import json
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from components.common.files import digest_of, digest_of_file, write_json
from pipelines.local.kfp_patches import OutputCache, cached_by


class CheckedCache(OutputCache):
    """A cache that ignores an entry if it or its artifacts were changed, so that the task runs again.

    KFP itself checks only that an artifact's path exists.
    """

    def get(self, key: str) -> dict[str, Any] | None:
        """The outputs stored under ``key``; None if there are none or they were changed."""
        try:
            entry = json.loads(self.path(key).read_bytes())
            outputs, files = entry["outputs"], entry["files"]
            if entry["digest"] != digest_of([outputs, files]) or files != _digests(outputs):
                raise ValueError
            return self.from_json(outputs)
        except FileNotFoundError:
            return None
        except Exception:  # whatever a damaged entry leads to
            logging.warning("The cached outputs of this task are damaged: it runs again.")
            return None

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Stores outputs with the digests of their files."""
        stored = self.to_json(outputs)
        files = _digests(stored)
        with self.lock:
            write_json(self.path(key), {"outputs": stored, "files": files, "digest": digest_of([stored, files])})


def checked_cache() -> AbstractContextManager[None]:
    """Makes ``kfp.local`` use ``CheckedCache``."""
    return cached_by(CheckedCache)


def _digests(outputs: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """For every artifact among a task's outputs, the digests of its files by their relative paths."""
    return {uri: _digests_below(Path(uri)) for uri in _artifacts(list(outputs.values()))}


def _artifacts(value: Any) -> list[str]:
    """Paths of the artifacts on this machine, at any depth of a value that KFP stores."""
    if isinstance(value, list):
        return [uri for one in value for uri in _artifacts(one)]
    if not isinstance(value, dict):
        return []
    here = [str(value["uri"])] if OutputCache.is_artifact(value) and "://" not in str(value["uri"]) else []
    return here + _artifacts(list(value.values()))


def _digests_below(path: Path) -> dict[str, str]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {file.relative_to(path).as_posix(): digest_of_file(file) for file in files if file.is_file()}
