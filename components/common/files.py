"""Digests, arrays, JSON and names of the files that steps write."""

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

#: Form of a SHA-256 as it stands in our files.
SHA256 = "[0-9a-f]{64}"


def digest_of(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def digest_of_array(array: NDArray[Any]) -> str:
    """SHA-256 of an array's dtype, shape and C-ordered bytes."""
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


#: Held while NumPy parses an array's header as Python: two threads of CPython 3.11 that do so at the same time
#: occasionally fail with "AST constructor recursion depth mismatch" (python/cpython#106905).
_HEADER_LOCK = threading.Lock()


def load_array(file: Path | BinaryIO) -> NDArray[Any]:
    """The array of a ``.npy`` file, from any thread; ``ValueError`` where it is not one, or holds Python objects."""
    with _HEADER_LOCK:
        try:
            array = np.load(file, allow_pickle=False)
        except EOFError:
            raise ValueError from None
    if not isinstance(array, np.ndarray):
        raise ValueError
    return array


def float32_array(content: bytes) -> NDArray[np.float32]:
    """The array in a ``.npy`` file's bytes, without a copy: its header must state exactly the size of the data.

    Raises
    ------
    ValueError
        Where the array is not float32 in C order, or its size is not the one that the header states.
    """
    file = io.BytesIO(content)
    try:
        with _HEADER_LOCK:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    except (RecursionError, MemoryError):  # the header is parsed as Python
        raise ValueError from None
    if fortran_order or dtype != np.dtype("<f4") or math.prod(shape) * 4 != len(content) - file.tell():
        raise ValueError
    return np.frombuffer(content, "<f4", offset=file.tell()).reshape(shape)


def strict_json(content: bytes) -> Any:
    """The value of JSON text; ``ValueError`` for invalid JSON, for NaN and infinity, and for too deep nesting."""

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
    """Writes readable JSON atomically; refuses NaN and infinity, which neither JSON nor KFP can represent."""
    write_whole(path, (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value of a JSON file; ``ValueError`` for invalid JSON and for too deep nesting."""
    try:
        return json.loads(path.read_text())
    except RecursionError:
        raise ValueError from None


def digest_of_sources(*folders: Path) -> str:
    """Digest of the Python files in ``folders``, at any depth, for a cache that must also depend on the code."""
    return digest_of(
        {
            file.relative_to(folder.parent).as_posix(): digest_of_file(file)
            for folder in folders
            for file in folder.rglob("*.py")
        }
    )


def safe_name(text: str) -> str:
    """``text`` as a file name: everything but letters, digits, dots, dashes and underscores becomes an underscore."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
