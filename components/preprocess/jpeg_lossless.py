"""JPEG lossless (process 14, ITU-T T.81 annex H), the usual compression of PACS archives: one frame, one component.

Written here since the decoders to be had are no fit for a server. Of mutated frames, GDCM 3.2.6 died on one in forty,
by a signal that ends the process; pylibjpeg-libjpeg 2.5.0 is GPL-3, and took more than 20 s or gigabytes for some.
This one takes memory and time by the size of the slice alone, and raises ``ValueError`` on whatever is wrong.
"""

import dataclasses
import itertools
import re
import struct

import numpy as np
from numpy.typing import NDArray

#: Markers: frame header of process 14, Huffman tables, restart interval, scan header (T.81 table B.1).
SOF3, DHT, DRI, SOS = 0xC3, 0xC4, 0xDD, 0xDA
#: Markers without a length: TEM, RST0 to RST7, SOI.
BARE = (0x01, *range(0xD0, 0xD9))
#: What ends entropy-coded bytes, and what only divides them. A byte FF within them is written FF 00.
MARKER, RESTART = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]"), re.compile(rb"\xff[\xd0-\xd7]")
#: Most segments before the scan: encoders write a handful.
MAX_SEGMENTS = 100
#: Bytes looked at in one go: bounds the memory, which is a few numbers for each bit.
BLOCK_BYTES = 2**16
#: Longest code with the bits that follow it.
LONGEST_BITS = 32

Samples = NDArray[np.uint16]


@dataclasses.dataclass(frozen=True, slots=True)
class _Table:
    """By the next 16 bits: how long the code is that they begin with (0: there is none), and what it stands for."""

    code_bits: NDArray[np.uint8]
    category: NDArray[np.uint8]


@dataclasses.dataclass(slots=True)
class _Scan:
    """What the headers of a frame say."""

    precision: int = 0
    shape: tuple[int, int] = (0, 0)
    restart_interval: int = 0
    predictor: int = 0
    point_transform: int = 0
    table: _Table | None = None
    data: bytes = b""


def decode_jpeg_lossless(frame: bytes, shape: tuple[int, int]) -> Samples:
    """[rows, columns] samples as they are stored: unsigned, two's complement in the encoder's precision.

    Parameters
    ----------
    frame
        The whole JPEG stream.
    shape
        Rows and columns that it must have.

    Raises
    ------
    ValueError
        It is damaged, has another shape, several components, or is of another process.
    """
    try:
        scan = _read_headers(frame)
        if scan.shape != shape:
            raise ValueError
        return _samples(scan)
    except (IndexError, KeyError, struct.error):
        raise ValueError from None


def _read_headers(frame: bytes) -> _Scan:
    scan, tables, at = _Scan(), dict[int, bytes](), 0
    for _ in range(MAX_SEGMENTS):
        kind, body, at = _segment(frame, at)
        if kind == SOF3:
            scan.precision, rows, columns, components = struct.unpack_from(">BHHB", body)
            scan.shape = rows, columns
            if not 2 <= scan.precision <= 16 or components != 1:
                raise ValueError
        elif kind == DHT:
            tables |= _tables(body)
        elif kind == DRI:
            (scan.restart_interval,) = struct.unpack(">H", body)
        elif kind == SOS:
            components, _, table, scan.predictor, _, scan.point_transform = struct.unpack(">6B", body)
            if components != 1 or not 1 <= scan.predictor <= 7 or not scan.point_transform < scan.precision:
                raise ValueError
            end = MARKER.search(frame, at)
            scan.table, scan.data = _table(tables[table >> 4]), frame[at : end.start() if end else None]
            return scan
    raise ValueError


def _segment(frame: bytes, at: int) -> tuple[int, bytes, int]:
    """Kind and content of the marker segment at a byte, and where the next begins."""
    while frame[at] == frame[at + 1] == 0xFF:  # fill bytes
        at += 1
    kind = frame[at + 1]
    size = 0 if kind in BARE else struct.unpack_from(">H", frame, at + 2)[0]
    if frame[at] != 0xFF or at + 2 + size > len(frame):
        raise ValueError
    return kind, frame[at + 4 : at + 2 + size], at + 2 + size


def _tables(body: bytes) -> dict[int, bytes]:
    """What a segment defines Huffman tables by, by their number: 16 counts of codes by length, and their values."""
    found = {}
    while body:
        end = 17 + sum(body[1:17])
        found[body[0]] = body[1:end]
        body = body[end:]
    return found


def _table(definition: bytes) -> _Table:
    """Codes count up, those of one more bit from where the shorter ones end (T.81 annex C)."""
    code_bits, category = (np.zeros(2**16, dtype=np.uint8) for _ in range(2))
    lengths = [length for length, count in enumerate(definition[:16], start=1) for _ in range(count)]
    first = 0
    for length, value in zip(lengths, definition[16:], strict=True):
        beyond = first + (2**16 >> length)
        if value > 16 or beyond > 2**16:
            raise ValueError
        code_bits[first:beyond], category[first:beyond] = length, value
        first = beyond
    return _Table(code_bits, category)


def _samples(scan: _Scan) -> Samples:
    """Each restart interval, which is some whole rows or all of them, stands for itself (T.81 H.1.1)."""
    rows, columns = scan.shape
    at_once = scan.restart_interval // columns or rows
    parts = [part.replace(b"\xff\0", b"\xff") for part in RESTART.split(scan.data, maxsplit=rows)]
    start = 1 << (scan.precision - scan.point_transform - 1)
    samples = np.empty(scan.shape, dtype=np.uint16)
    for part, first in enumerate(range(0, rows, at_once)):
        target = samples[first : first + at_once]
        target[:] = _differences(parts[part], target.size, scan.table).reshape(target.shape)
        _add_predictions(target, scan.predictor, start)
    return samples << np.uint16(scan.point_transform)


def _differences(data: bytes, count: int, table: _Table | None) -> Samples:
    """``count`` differences, modulo 2^16 (T.81 H.1.2.2): a code for the number of bits, then these bits."""
    if table is None:
        raise ValueError
    found = np.empty(count, dtype=np.uint16)
    padded, done, at = data + bytes(LONGEST_BITS // 8 + 1), 0, 0
    while done < count:
        windows = _windows(padded[at // 8 : at // 8 + BLOCK_BYTES])
        starts, beyond = _codes(windows, table, at % 8, count - done)
        if not starts.size:
            raise ValueError
        found[done : done + starts.size] = _values(windows, table, starts)
        done, at = done + starts.size, at // 8 * 8 + beyond
    if at > 8 * len(data):
        raise ValueError
    return found


def _windows(block: bytes) -> Samples:
    """The 16 bits from each bit on; zeros lie beyond the end."""
    padded = np.frombuffer(block + b"\0\0\0", dtype=np.uint8).astype(np.uint32)
    three = padded[:-2] << 16 | padded[1:-1] << 8 | padded[2:]
    return (three[:, np.newaxis] >> np.arange(8, 0, -1, dtype=np.uint32)).astype(np.uint16).ravel()


def _codes(windows: Samples, table: _Table, at: int, most: int) -> tuple[NDArray[np.int64], int]:
    """Where the codes begin that lie, with the bits that follow them, wholly in a block, and the first bit beyond."""
    steps = (table.code_bits + table.category % 16)[windows]
    steps[table.code_bits[windows] == 0] = 0
    lengths, end, starts = steps.tobytes(), len(windows) - LONGEST_BITS, list[int]()
    while at < end and len(starts) < most and lengths[at]:
        starts.append(at)
        at += lengths[at]
    return np.array(starts, dtype=np.int64), at


def _values(windows: Samples, table: _Table, starts: NDArray[np.int64]) -> Samples:
    code_bits, category = (part[windows[starts]].astype(np.int64) for part in (table.code_bits, table.category))
    extra = category % 16
    bits = windows[starts + code_bits].astype(np.int64) >> (16 - extra)
    values = np.where(bits >> np.maximum(extra - 1, 0) != 0, bits, bits - (1 << extra) + 1)
    return np.where(category == 16, 2**15, values).astype(np.uint16)


def _add_predictions(rows: Samples, predictor: int, start: int) -> None:
    """Samples from differences, in place and modulo 2^16: the first row from its left, the others by the predictor."""
    rows[0, :1] += np.uint16(start)
    rows[0] = np.cumsum(rows[0], dtype=np.uint16)
    for above, row in itertools.pairwise(rows):
        row[:] = _row(row, above, predictor)


def _row(differences: Samples, above: Samples, predictor: int) -> Samples:
    """One row by the predictors of T.81 table H.1; its first sample is always predicted from the one above."""
    steps = differences.copy()
    if predictor in (2, 3):
        steps += above if predictor == 2 else np.insert(above[:-1], 0, above[0])
        return steps
    if predictor in (1, 4, 5):  # from the left, and what the row above adds to it
        wide = above.astype(np.int64)
        slope = wide[1:] - wide[:-1]
        steps[:1] += above[:1]
        steps[1:] += {1: 0 * slope, 4: slope, 5: slope >> 1}[predictor].astype(np.uint16)
        return np.cumsum(steps, dtype=np.uint16)
    return _row_by_halves(differences.tolist(), above.tolist(), predictor)


def _row_by_halves(differences: list[int], above: list[int], predictor: int) -> Samples:
    """Predictors 6 and 7, which halve what they have just decoded."""
    left, before = (differences[0] + above[0]) & 0xFFFF, above[0]
    row = [left]
    for difference, over in zip(differences[1:], above[1:], strict=True):
        predicted = over + ((left - before) >> 1) if predictor == 6 else (left + over) >> 1
        left, before = (predicted + difference) & 0xFFFF, over
        row.append(left)
    return np.array(row, dtype=np.uint16)
