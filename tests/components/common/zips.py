"""Zips written byte by byte (APPNOTE 4.3), so that they can state false sizes."""

import dataclasses
import struct
import zlib


@dataclasses.dataclass(frozen=True)
class Packed:
    """An entry: ``says`` is its stated size, ``crc`` its stated CRC-32, ``at`` where its header is said to begin."""

    name: bytes
    data: bytes
    says: int
    crc: int
    method: int = 0
    at: int | None = None
    extra: bytes = b""


def stored(name: str, data: bytes, says: int | None = None) -> Packed:
    """A stored file, which may lie about its size with the CRC-32 of what it says."""
    says = len(data) if says is None else says
    return Packed(name.encode(), data, says, zlib.crc32(data[:says]))


def deflated(name: str, data: bytes, says: int | None = None) -> Packed:
    """A deflated file, which may lie likewise."""
    says = len(data) if says is None else says
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return Packed(name.encode(), stream.compress(data) + stream.flush(), says, zlib.crc32(data[:says]), 8)


def zip_of(entries: list[Packed], *, before: bytes = b"", comment: bytes = b"", zip64: bool = False) -> bytes:
    """The zip of them, with bytes before it and a comment behind."""
    body, directory = bytearray(before), bytearray()
    for one in entries:
        start = len(body) - len(before) if one.at is None else one.at
        sizes = struct.pack("<LLL", one.crc, len(one.data), one.says)
        if one.at is None:
            body += struct.pack("<4sHHHHH", b"PK\3\4", 20, 0x800, one.method, 0, 33) + sizes
            body += struct.pack("<HH", len(one.name), 0) + one.name + one.data
        directory += struct.pack("<4sHHHHHH", b"PK\1\2", 20, 20, 0x800, one.method, 0, 33) + sizes
        directory += struct.pack("<HHHHHLL", len(one.name), len(one.extra), 0, 0, 0, 0, start) + one.name + one.extra
    at = len(body) - len(before)
    return bytes(body + directory) + _end(len(entries), len(directory), at, len(before), comment, zip64)


def _end(count: int, size: int, at: int, before: int, comment: bytes, zip64: bool) -> bytes:
    if not zip64:
        number = count % 2**16
        return struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, number, number, size, at, len(comment)) + comment
    end = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, at)
    end += struct.pack("<4sLQL", b"PK\6\7", 0, before + at + size, 1)
    unsaid = (2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1)
    return end + struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, *unsaid, len(comment)) + comment
