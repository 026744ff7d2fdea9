"""Convolution, alone and followed by max-pooling, as one matrix product over windows of the images.

The members of a pack are a leading axis of their weights. Along such an axis a matrix product becomes a batched
product, which is fast; a convolution becomes a grouped one, whose gradients are slow. All functions are written in
``keras.ops`` for any backend. Images are [n, height, width, channels], kernels [height, width, channels, filters];
results equal those of Keras' ``Conv2D`` and ``MaxPooling2D`` to float32 rounding.
"""

import math
from itertools import product
from typing import Any

from components.model.keras_backend import keras

ops = keras.ops
#: Multiplications that take as long as writing one value of a window to memory and reading it, roughly.
WRITE = 64
Pair = tuple[int, int]


def convolve(images: Any, kernel: Any, strides: Pair = (1, 1), padding: str = "valid", dilation: Pair = (1, 1)) -> Any:
    """Convolution, [n, height, width, filters], as by ``Conv2D`` without bias and activation."""
    height, width = ((side - 1) * step + 1 for side, step in zip(kernel.shape[:2], dilation, strict=True))
    if padding == "same":
        images = _padded(images, (height, width), strides)
    stop = images.shape[1] - height + 1, images.shape[2] - width + 1
    patches = [
        images[:, row : row + stop[0] : strides[0], column : column + stop[1] : strides[1]]
        for row, column in product(range(0, height, dilation[0]), range(0, width, dilation[1]))
    ]
    return _product(ops.concatenate(patches, -1), ops.reshape(kernel, (-1, kernel.shape[-1])))


def convolve_and_pool(images: Any, kernel: Any, pool: Pair) -> Any:
    """Unpadded convolution, then the maximum of each ``pool`` of positions, which do not overlap.

    The product has a row for every ``phase x phase`` neighbouring positions, and a column for each filter at each of
    them: few small filters would be a narrow product with many rows. A row's window has ``kernel + phase - 1`` pixels a
    side. Where several positions share the maximum, its gradient is divided among them.
    """
    size, filters = kernel.shape[:2], kernel.shape[-1]
    phase = phase_of(size, filters, pool)
    pools = [(side - one + 1) // step for side, one, step in zip(images.shape[1:3], size, pool, strict=True)]
    rows = [one * step // phase for one, step in zip(pools, pool, strict=True)]
    extents = [_extents(side + phase - 1, phase) for side in size]
    windows = _windows(images, phase, rows, extents)
    maps = _product(windows, _at_all_phases(kernel, phase, extents))
    split = (-1, pools[0], pool[0] // phase, pools[1], pool[1] // phase, phase * phase, filters)
    return ops.max(ops.reshape(maps, split), (2, 4, 5))


def phase_of(kernel: Pair, filters: int, pool: Pair) -> int:
    """The ``phase`` that costs least for each position, counting the product and its windows' way through memory."""
    common = math.gcd(*pool)

    def cost(phase: int) -> float:
        window = math.prod(side + phase - 1 for side in kernel)
        return window * (filters + WRITE / phase**2)

    return min((phase for phase in range(1, common + 1) if common % phase == 0), key=cost)


def _product(windows: Any, kernel: Any) -> Any:
    """Windows [n, rows, columns, k] times kernel [k, filters]."""
    flat = ops.matmul(ops.reshape(windows, (-1, kernel.shape[0])), kernel)
    return ops.reshape(flat, (-1, *windows.shape[1:3], kernel.shape[1]))


def _padded(images: Any, field: Pair, strides: Pair) -> Any:
    """Zeros around the images, as TensorFlow adds them for the padding ``same``: more of them below and right."""
    widths = [(0, 0)]
    for side, one, step in zip(images.shape[1:3], field, strides, strict=True):
        missing = max(0, (-(-side // step) - 1) * step + one - side)
        widths.append((missing // 2, missing - missing // 2))
    return ops.pad(images, [*widths, (0, 0)])


def _extents(window: int, phase: int) -> list[int]:
    """How many pixels of each block of ``phase`` a window of that side has."""
    return [min(phase, window - start) for start in range(0, window, phase)]


def _windows(images: Any, phase: int, rows: list[int], extents: list[list[int]]) -> Any:
    """The windows that start at every ``phase``-th pixel, [n, rows, columns, pixels of a window].

    The images are divided into blocks of ``phase x phase`` pixels, and a window is put together from blocks: that takes
    a few large copies, where pixel by pixel it would take as many as a window has pixels.
    """
    blocks = [one + len(parts) - 1 for one, parts in zip(rows, extents, strict=True)]
    sides = [one * phase for one in blocks]
    images = images[:, : sides[0], : sides[1]]
    missing = [(0, wanted - side) for wanted, side in zip(sides, images.shape[1:3], strict=True)]
    images = ops.pad(images, [(0, 0), *missing, (0, 0)])
    images = ops.reshape(images, (-1, blocks[0], phase, blocks[1], phase, images.shape[-1]))
    images = ops.transpose(images, (0, 1, 3, 2, 4, 5))
    parts = [
        images[:, row : row + rows[0], column : column + rows[1], :height, :width]
        for (row, height), (column, width) in product(*map(enumerate, extents))
    ]
    return ops.concatenate([ops.reshape(part, (-1, *rows, math.prod(part.shape[3:]))) for part in parts], -1)


def _at_all_phases(kernel: Any, phase: int, extents: list[list[int]]) -> Any:
    """The kernel at all places in a window, [pixels of a window, phase * phase * filters], ordered as ``_windows``."""
    by_row = _shifted(kernel, phase)  # [phase, row, column, channel, filter]
    by_both = _shifted(ops.transpose(by_row, (2, 0, 1, 3, 4)), phase)
    places = ops.transpose(by_both, (3, 1, 4, 2, 0, 5))  # [row, column, channel, row phase, column phase, filter]
    parts = [
        places[row * phase : row * phase + height, column * phase : column * phase + width]
        for (row, height), (column, width) in product(*map(enumerate, extents))
    ]
    return ops.concatenate([ops.reshape(part, (-1, phase * phase * kernel.shape[-1])) for part in parts])


def _shifted(values: Any, phase: int) -> Any:
    """Values [side, ...] shifted by each of 0 .. phase - 1, with zeros elsewhere: [phase, side + phase - 1, ...].

    Rows that are cut from a repeated sequence, each one value shorter than its period, are each shifted by one more.
    """
    window, others = values.shape[0] + phase - 1, values.shape[1:]
    period = ops.pad(values, [(0, phase), *((0, 0) for _ in others)])
    repeated = ops.broadcast_to(period[None], (phase, *period.shape))
    flat = ops.reshape(repeated, (phase * (window + 1), *others))[: phase * window]
    return ops.reshape(flat, (phase, window, *others))
