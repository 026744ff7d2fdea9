"""A small encoder of JPEG lossless (T.81 annex H), sample by sample.

What it writes was read alike by GDCM 3.2.6 and libjpeg (pylibjpeg-libjpeg 2.5.0), each predictor and restarts included.
"""

import struct

#: One code of 5 bits for each category from 0 to 16.
TABLE = bytes([0, 0, 0, 0, 17, *[0] * 11, *range(17)])


def predicted(samples, y, x, first_row, predictor, start):
    if y == first_row:
        return start if x == 0 else samples[y][x - 1]
    if x == 0:
        return samples[y - 1][0]
    a, b, c = samples[y][x - 1], samples[y - 1][x], samples[y - 1][x - 1]
    return (a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1)[predictor - 1]


def code_of(difference):
    """As bits: the category in 5 of them, then the difference."""
    difference = (difference + 32767) % 65536 - 32767
    category = abs(difference).bit_length()
    if category == 16:
        return f"{16:05b}"
    value = difference if difference > 0 else difference + (1 << category) - 1
    return f"{category:05b}" + (f"{value:0{category}b}" if category else "")


def segment(kind, body):
    return bytes([0xFF, kind]) + struct.pack(">H", len(body) + 2) + body


def encode(samples, precision=16, predictor=1, restart_rows=0, point_transform=0, table=TABLE):
    """The stream of [rows][columns] unsigned samples; the lowest ``point_transform`` bits are lost."""
    samples = [[int(v) >> point_transform for v in row] for row in samples]
    rows, columns = len(samples), len(samples[0])
    start, parts = 1 << (precision - point_transform - 1), []
    for first in range(0, rows, restart_rows or rows):
        bits = "".join(
            code_of(samples[y][x] - predicted(samples, y, x, first, predictor, start))
            for y in range(first, min(rows, first + (restart_rows or rows)))
            for x in range(columns)
        )
        bits += "1" * (-len(bits) % 8)
        parts.append(int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0"))
    data = parts[0] + b"".join(bytes([0xFF, 0xD0 + (n % 8)]) + part for n, part in enumerate(parts[1:]))
    heads = segment(0xC3, struct.pack(">BHHB", precision, rows, columns, 1) + b"\1\x11\0")
    heads += segment(0xC4, b"\0" + table)
    heads += segment(0xDD, struct.pack(">H", restart_rows * columns)) if restart_rows else b""
    scan = segment(0xDA, bytes([1, 1, 0, predictor, 0, point_transform]))
    return b"\xff\xd8" + heads + scan + data + b"\xff\xd9"
