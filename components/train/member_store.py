"""Stores finished and half-trained members between attempts, in a folder (or PVC) or in ``s3://bucket/prefix``.

Each member is one object, ``members/<key>.zip``, and while it trains ``states/<key>.zip``: sealed zips of ``.npy``, CSV
and JSON files (``components.common.store.sealed``). Two writers of one key write the same member.
"""

import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.members import Member, read_member, write_member
from components.common.errors import InputError
from components.common.files import load_array
from components.common.store.sealed import SealedStore, open_sealed
from components.train.training import State


class MemberStore:
    """Finished members and half-trained states under their keys."""

    def __init__(self, sealed: SealedStore) -> None:
        self._sealed = sealed

    def get(self, key: str) -> Member | None:
        """The finished member, or None where there is none or its object is damaged."""
        files = self._sealed.get(f"members/{key}.zip")
        return _member(files) if files else None

    def put(self, key: str, member: Member) -> None:
        """Writes a finished member atomically and removes its half-trained state."""
        with tempfile.TemporaryDirectory() as folder:
            write_member(Path(folder), member)
            paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
            files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        self._sealed.put(f"members/{key}.zip", files)
        self._sealed.remove(f"states/{key}.zip")

    def get_state(self, key: str) -> State | None:
        """The half-trained state, or None where there is none or its object is damaged."""
        files = self._sealed.get(f"states/{key}.zip")
        if not files:
            return None
        facts = json.loads(files.pop("facts.json"))
        return State(
            {name.removesuffix(".npy"): load_array(io.BytesIO(content)) for name, content in files.items()}, facts
        )

    def put_state(self, key: str, state: State) -> None:
        """Writes a half-trained state atomically, replacing any former one."""
        files = {f"{name}.npy": _bytes(array) for name, array in state.arrays.items()}
        self._sealed.put(f"states/{key}.zip", {**files, "facts.json": json.dumps(state.facts).encode()})


def open_store(state_uri: str) -> MemberStore:
    """The store in a folder or at ``s3://bucket/prefix``; raises as ``open_sealed``."""
    return MemberStore(open_sealed(state_uri))


def _member(files: Mapping[str, bytes]) -> Member | None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            return read_member(Path(folder))
        except InputError:  # written by another version of this platform: it is trained again
            return None


def _bytes(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
