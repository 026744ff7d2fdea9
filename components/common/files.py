"""Digests, JSON and names of files: what every folder that a step writes is made of."""

import hashlib
import io
import json
import math
import re
import threading
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from components.common.disk import write_whole


def digest_of(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def digest_of_array(array: NDArray[Any]) -> str:
    """SHA-256 of an array's dtype, shape and C-ordered bytes."""
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


#: Held while NumPy reads an array's head, which it parses as Python: two threads of CPython 3.11 that do so at once
#: fail now and then with "AST constructor recursion depth mismatch" (python/cpython#106905).
_PARSING = threading.Lock()


def load_array(file: Path | BinaryIO) -> NDArray[Any]:
    """The array of a ``.npy`` file, from any thread; ``ValueError`` where it is none, or holds Python objects."""
    with _PARSING:
        try:
            array = np.load(file, allow_pickle=False)
        except EOFError:
            raise ValueError from None
    if not isinstance(array, np.ndarray):
        raise ValueError
    return array


def float32_array(content: bytes) -> NDArray[np.float32]:
    """The array of a ``.npy`` file's bytes, which no memory is taken for: its head must name as many as there are.

    Raises
    ------
    ValueError
        Where they are no float32 in C order, or more or fewer than the head says.
    """
    file = io.BytesIO(content)
    try:
        with _PARSING:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    except (RecursionError, MemoryError):  # the head is parsed as Python
        raise ValueError from None
    if fortran_order or dtype != np.dtype("<f4") or math.prod(shape) * 4 != len(content) - file.tell():
        raise ValueError
    return np.frombuffer(content, "<f4", offset=file.tell()).reshape(shape)


def strict_json(content: bytes) -> Any:
    """The value of JSON text; ``ValueError`` for what is none, for NaN and infinity, and for a nesting too deep."""

    def finite(text: str) -> float:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError
        return number

    try:
        return json.loads(content, parse_float=finite, parse_constant=finite)
    except RecursionError:
        raise ValueError from None


def write_json(path: Path, value: Any) -> None:
    """Writes readable JSON, whole or not at all; NaN and infinity, which neither JSON nor KFP knows, are refused."""
    write_whole(path, (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value of a JSON file; ``ValueError`` for what is none, or too deep."""
    try:
        return json.loads(path.read_text())
    except RecursionError:
        raise ValueError from None


def digest_of_sources(*folders: Path) -> str:
    """Digest of the Python files in ``folders``, at any depth: what a cache must look at beside its inputs."""
    return digest_of(
        {
            file.relative_to(folder.parent).as_posix(): digest_of_file(file)
            for folder in folders
            for file in folder.rglob("*.py")
        }
    )


def safe_name(text: str) -> str:
    """``text`` with all but letters, digits, dot, dash and underscore replaced, for file names."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
