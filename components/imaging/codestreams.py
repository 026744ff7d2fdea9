"""Reads the size declared in a compressed frame before any decoder allocates memory for it.

JPEG (ITU-T T.81 annex B), JPEG-LS (T.87) and lossless JPEG share one segment structure; JPEG 2000 (T.800 annex A) has
its own.
"""

import dataclasses
import struct

from components.common.limits import MAX_JPEG_SEGMENTS

#: Frame headers: all SOFn markers except DHT (C4), JPG (C8) and DAC (CC), and the JPEG-LS one.
FRAME_HEADERS = {0xF7, *range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
#: Markers: start of scan, before the entropy-coded bytes; JPEG-LS parameters; number of lines.
SOS, LSE, DNL = 0xDA, 0xF8, 0xDC
#: Markers without a length: TEM, RST0 to RST7, SOI.
WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
#: The type of JPEG-LS parameters that changes the frame's size (T.87 C.2.4.1).
OVERSIZE = 4
#: Start of a JPEG 2000 codestream: SOC and SIZ.
J2K = b"\xff\x4f\xff\x51"
#: Start of a JP2 file, in which some writers wrap the codestream against PS3.5 A.4.4, and the box that holds it.
JP2, JP2_CODESTREAM = b"\0\0\0\x0cjP  ", b"jp2c"
#: Most bytes that the boxes before the codestream may take.
JP2_HEAD_BYTES = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class Codestream:
    """Rows and columns of a frame, its number of components, bits per sample, and number of tiles."""

    shape: tuple[int, int]
    components: int
    bits: int
    tiles: int = 1


def describe(frame: bytes) -> Codestream:
    """The declared size of a JPEG, JPEG-LS or JPEG 2000 frame; ``ValueError`` where it is absent or redefined later."""
    try:
        if frame.startswith(JP2):
            at = frame.index(JP2_CODESTREAM, 0, JP2_HEAD_BYTES) + len(JP2_CODESTREAM)
            return _jpeg_2000(frame[at : at + 64])
        return _jpeg_2000(frame[:64]) if frame.startswith(J2K) else _jpeg(frame)
    except struct.error:
        raise ValueError("a frame's header is cut off") from None


def _jpeg_2000(head: bytes) -> Codestream:
    if not head.startswith(J2K):
        raise ValueError("no JPEG 2000 codestream")
    # Reference grid, the image's offset on it, the tile size and the tile offset: each x, y.
    *grid, components, depth = struct.unpack_from(">8LHB", head, 8)
    (right, bottom), (left, top), tile, first = (grid[i : i + 2] for i in range(0, 8, 2))
    if not (left < right and top < bottom and min(tile) > 0):
        raise ValueError("an empty image or tile")
    across, down = (-(-(end - at) // side) for end, at, side in zip((right, bottom), first, tile, strict=True))
    return Codestream((bottom - top, right - left), components, (depth & 0x7F) + 1, across * down)


def _jpeg(frame: bytes) -> Codestream:
    if frame[:2] != b"\xff\xd8":
        raise ValueError("no JPEG")
    header: Codestream | None = None
    at = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        while frame[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        prefix, marker = struct.unpack_from(">BB", frame, at)
        at += 2
        if prefix != 0xFF or marker == 0:
            raise ValueError("no marker where one is due")
        if marker in WITHOUT_LENGTH:
            continue
        (length,) = struct.unpack_from(">H", frame, at)
        if marker == DNL or (marker == LSE and frame[at + 2 : at + 3] == bytes([OVERSIZE])):
            raise ValueError("a size that is declared outside the frame header")
        if marker in FRAME_HEADERS:
            if header:
                raise ValueError("two frame headers")
            bits, rows, columns, components = struct.unpack_from(">BHHB", frame, at + 2)
            header = Codestream((rows, columns), components, bits)
        if marker == SOS and header:
            return header
        at += max(length, 2)
    raise ValueError("no scan among the first segments")
