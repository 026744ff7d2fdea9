"""What a compressed frame says of itself, read before any decoder is asked: a decoder would take memory by it.

JPEG (ITU-T T.81 annex B), JPEG-LS (T.87) and lossless JPEG share their segments; JPEG 2000 (T.800 annex A) has others.
"""

import dataclasses
import struct

from components.common.limits import MAX_JPEG_SEGMENTS

#: Frame headers: all SOFn but for DHT (C4), JPG (C8) and DAC (CC), and JPEG-LS's.
FRAME_HEADERS = {0xF7, *range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
#: Markers: start of the scan, where the entropy-coded bytes begin; JPEG-LS's parameters; number of lines.
SOS, LSE, DNL = 0xDA, 0xF8, 0xDC
#: Markers without a length: TEM, RST0 to RST7, SOI.
BARE = {0x01, *range(0xD0, 0xD9)}
#: Of JPEG-LS's parameters (T.87 C.2.4.1), the one that changes the frame's size.
OVERSIZE = 4
#: How a JPEG 2000 codestream begins: SOC and SIZ.
J2K = b"\xff\x4f\xff\x51"
#: How a JP2 file begins, which some writers wrap around it against PS3.5 A.4.4; and its box with the codestream.
JP2, JP2_CODESTREAM = b"\0\0\0\x0cjP  ", b"jp2c"
#: Bytes of the boxes before it.
JP2_HEAD_BYTES = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class Codestream:
    """Rows and columns of a frame, its components, bits of a sample, and tiles."""

    shape: tuple[int, int]
    components: int
    bits: int
    tiles: int = 1


def describe(frame: bytes) -> Codestream:
    """What a JPEG, JPEG-LS or JPEG 2000 frame says; ``ValueError`` where it says nothing, or changes it later."""
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
    # Reference grid, the image's place on it, and a tile's size and place: each x, y.
    *grid, components, depth = struct.unpack_from(">8LHB", head, 8)
    (right, bottom), (left, top), tile, first = (grid[i : i + 2] for i in range(0, 8, 2))
    if not (left < right and top < bottom and min(tile) > 0):
        raise ValueError("an empty image or tile")
    across, down = (-(-(end - at) // side) for end, at, side in zip((right, bottom), first, tile, strict=True))
    return Codestream((bottom - top, right - left), components, (depth & 0x7F) + 1, across * down)


def _jpeg(frame: bytes) -> Codestream:
    if frame[:2] != b"\xff\xd8":
        raise ValueError("no JPEG")
    found: Codestream | None = None
    at = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        while frame[at : at + 2] == b"\xff\xff":  # filling
            at += 1
        prefix, marker = struct.unpack_from(">BB", frame, at)
        at += 2
        if prefix != 0xFF or marker == 0:
            raise ValueError("no marker where one is due")
        if marker in BARE:
            continue
        (length,) = struct.unpack_from(">H", frame, at)
        if marker == DNL or (marker == LSE and frame[at + 2 : at + 3] == bytes([OVERSIZE])):
            raise ValueError("a size that is given apart from the frame's header")
        if marker in FRAME_HEADERS:
            if found:
                raise ValueError("two frame headers")
            bits, rows, columns, components = struct.unpack_from(">BHHB", frame, at + 2)
            found = Codestream((rows, columns), components, bits)
        if marker == SOS and found:
            return found
        at += max(length, 2)
    raise ValueError("no scan among the first segments")
