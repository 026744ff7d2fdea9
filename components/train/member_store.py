"""Where finished and half-trained members are kept between attempts: a folder (or PVC) or ``s3://bucket/prefix``.

One object per member, ``members/<key>.zip``, and while it trains ``states/<key>.zip``: a sealed zip of ``.npy``, CSV
and JSON (``components.common.store.sealed``); two writers of one key write the same member.
"""

import dataclasses
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


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """A half-trained member: named arrays, and plain values beside them."""

    arrays: dict[str, NDArray[Any]]
    facts: dict[str, Any]


class MemberStore:
    """Finished members and half-trained states under their keys."""

    def __init__(self, kept: SealedStore) -> None:
        self._kept = kept

    def get(self, key: str) -> Member | None:
        """The finished member, or None where there is none or its object is damaged."""
        files = self._kept.get(f"members/{key}.zip")
        return _member(files) if files else None

    def put(self, key: str, member: Member) -> None:
        """Keeps a finished member, whole or not at all, and drops its half-trained state."""
        with tempfile.TemporaryDirectory() as folder:
            write_member(Path(folder), member)
            paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
            files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        self._kept.put(f"members/{key}.zip", files)
        self._kept.remove(f"states/{key}.zip")

    def get_state(self, key: str) -> State | None:
        """The half-trained state, or None where there is none or its object is damaged."""
        files = self._kept.get(f"states/{key}.zip")
        if not files:
            return None
        facts = json.loads(files.pop("facts.json"))
        return State(
            {name.removesuffix(".npy"): load_array(io.BytesIO(content)) for name, content in files.items()}, facts
        )

    def put_state(self, key: str, state: State) -> None:
        """Keeps a half-trained state, whole or not at all, over any former one."""
        files = {f"{name}.npy": _bytes(array) for name, array in state.arrays.items()}
        self._kept.put(f"states/{key}.zip", {**files, "facts.json": json.dumps(state.facts).encode()})


def open_store(state_uri: str) -> MemberStore:
    """The store at a folder or ``s3://bucket/prefix``; raises as ``open_sealed``."""
    return MemberStore(open_sealed(state_uri))


def _member(files: Mapping[str, bytes]) -> Member | None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            return read_member(Path(folder))
        except InputError:  # of another version of this platform: it is trained again
            return None


def _bytes(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
