"""Extracts the values of a ``.npy`` file that could hold more than computed numbers, for the identity audit."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from components.preprocess.values import Value, Verdict, forbidden, free_text

#: HU that a crop may hold: 12-bit CT is -1024 to 3071, metal and padding values reach further.
HU_RANGE = (-40_000.0, 70_000.0)
#: Smallest number of digits of an integer that is compared with identifiers.
SHORTEST_NUMBER = 4
#: Bytes that names, identifiers and dates consist of, and the length from which a run of them is unlikely by chance.
_TEXT = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz ^,._/-")
_IS_TEXT, SHORTEST_RUN = bytes(byte in _TEXT for byte in range(256)), 8
#: First code point that is not a character.
SURROGATES = 0xD800


def values_of_array(path: Path) -> Iterator[Value]:
    """The values to audit: a file must hold one plain array of numbers and nothing else; decimal numbers must be HU."""
    array = _plain_array(path)
    if array is None:
        yield forbidden("not a plain array of numbers")
        return
    for part in array if array.ndim > 1 else [array]:
        content = np.ascontiguousarray(part)
        if content.dtype.kind == "f" and not _is_hu(content):
            yield forbidden("numbers that are not HU")
            return
        yield from (Value("the array's bytes", run, Verdict.BYTES) for run in _runs_of_text(content.tobytes()))
        if content.dtype.kind in "iu":
            yield from (free_text("the array's numbers", text) for text in _texts_of_integers(content))


def _plain_array(path: Path) -> np.ndarray[Any, np.dtype[Any]] | None:
    """The array of a file that holds an array of numbers and no further byte; None for any other file."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except ValueError:
        return None
    if array.dtype.kind not in "fiub":
        return None
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    with path.open("rb") as file:
        whole = file.read(array.offset) == header.getvalue() and array.offset + array.nbytes == path.stat().st_size
    return array if whole else None


def _runs_of_text(data: bytes) -> Iterator[str]:
    edges = np.flatnonzero(np.diff(np.frombuffer(data.translate(_IS_TEXT), np.bool_), prepend=False, append=False))
    for start, end in edges.reshape(-1, 2)[np.diff(edges)[::2] >= SHORTEST_RUN]:
        yield data[start:end].decode("ascii")


def _is_hu(content: np.ndarray[Any, np.dtype[Any]]) -> bool:
    return content.size == 0 or bool(HU_RANGE[0] <= content.min() and content.max() <= HU_RANGE[1])


def _texts_of_integers(content: np.ndarray[Any, np.dtype[Any]]) -> Iterator[str]:
    """Integers written as numbers, and as characters where all of them are codes of characters."""
    values = np.unique(content)
    yield " ".join(str(value) for value in values.tolist() if value >= 10 ** (SHORTEST_NUMBER - 1))
    if values.size and values[0] >= ord(" ") and values[-1] < SURROGATES:
        yield "".join(map(chr, content.ravel().tolist()))
