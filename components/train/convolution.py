"""A convolution fused with the max-pooling that follows it, and the gradients of the pair, for one CPU core.

A convolution on its own writes every pixel of every filter, and its gradient reads all of them again, although the pool
selects one value in P x P and only that one has a gradient. When both are fused, a filter's map stays in the core's
cache, the pool stores the position of its largest value, and the gradient visits only those pixels: one in 64 in the
first layer of the default network. Where values tie, one of them gets the gradient. numba compiles the loops.

Images and maps are [n, height, width, channels], kernels [K, K, channels, filters]. The convolution is unpadded; pools
do not overlap, and incomplete pools at the far edges are dropped. Internally an image is planes [channels,
height x width], so that a kernel's row slides over a whole image in one loop.
"""

import functools
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Argmax = NDArray[np.int32]
#: Allows fused multiply-add, but no reordering, so that the bits do not depend on how a loop is vectorised.
_compiled = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy")


def convolve_and_pool(images: Floats, kernel: Floats, pool: int) -> tuple[Floats, Argmax]:
    """Largest value of the convolution in each pool, and its argmax: the pixel of the plane where its patch starts."""
    count, height, width, channels = images.shape
    side, filters = len(kernel), kernel.shape[3]
    rows = np.zeros((channels, side, filters + filters % 2, side), np.float32)
    rows[:, :, :filters] = kernel.transpose(2, 0, 3, 1)
    shape = count, (height - side + 1) // pool, (width - side + 1) // pool, rows.shape[2]
    largest, argmax = np.empty(shape, np.float32), np.empty(shape, np.int32)
    loops(side, pool).forward(_planes(images), rows, width, largest, argmax)
    return largest[..., :filters], argmax[..., :filters]


def kernel_gradient(images: Floats, kernel: Floats, pool: int, argmax: Argmax, upstream: Floats) -> Floats:
    """Gradient with respect to the kernel, from the gradient ``upstream`` of the largest values at ``argmax``."""
    gradient = np.zeros(kernel.transpose(3, 2, 0, 1).shape, np.float32)
    loops(len(kernel), pool).add_patches(_planes(images), images.shape[2], argmax, upstream, gradient)
    return gradient.transpose(2, 3, 1, 0)


def image_gradient(images: Floats, kernel: Floats, pool: int, argmax: Argmax, upstream: Floats) -> Floats:
    """Gradient with respect to the images, from the gradient ``upstream`` of the largest values at ``argmax``."""
    count, height, width, channels = images.shape
    gradient = np.zeros((count, channels, height * width), np.float32)
    taps = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
    loops(len(kernel), pool).add_kernels(taps, width, argmax, upstream, gradient)
    return gradient.reshape(count, channels, height, width).transpose(0, 2, 3, 1)


def _planes(images: Floats) -> Floats:
    count, height, width, channels = images.shape
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(count, channels, height * width)


class Loops(NamedTuple):
    """The compiled loops for one size of kernel and pool; see ``loops``."""

    forward: Any
    add_patches: Any
    add_kernels: Any


@functools.cache
def loops(side: int, pool: int) -> Loops:
    """The three loops for kernels of ``side`` and pools of ``pool`` px, constants that LLVM can unroll.

    The loops are compiled at their first call. If the first calls of this function come from several threads at once,
    each thread compiles its own: call it once before the threads start.
    """

    @_compiled
    def slide(rows, pixels, sums):
        """Adds to ``sums`` [2, m] the products of two kernels' rows [2, side] with the pixels from each position on."""
        row_1, row_2, sums_1, sums_2 = rows[0], rows[1], sums[0], sums[1]
        for start in range(sums.shape[1] - side + 1):
            sum_1, sum_2 = np.float32(0), np.float32(0)
            for step in range(side):
                sum_1 += row_1[step] * pixels[start + step]
                sum_2 += row_2[step] * pixels[start + step]
            sums_1[start] += sum_1
            sums_2[start] += sum_2

    @_compiled
    def max_pool(sums, width, largest, argmax):
        """Pools a map: first over the rows of each pool, whole rows at a time, then along the row."""
        columns = largest.shape[1] * pool
        best, position = np.empty(columns, np.float32), np.empty(columns, np.int32)
        for row in range(largest.shape[0]):
            for column in range(columns):
                best[column], position[column] = sums[row * pool * width + column], row * pool * width + column
            for phase in range(1, pool):
                begin = (row * pool + phase) * width
                values = sums[begin : begin + columns]
                for column in range(columns):
                    value, former = values[column], best[column]
                    best[column] = value if value > former else former
                    position[column] = np.int32(begin + column) if value > former else position[column]
            for group in range(largest.shape[1]):
                value, winner = best[group * pool], position[group * pool]
                for column in range(group * pool + 1, group * pool + pool):
                    if best[column] > value:
                        value, winner = best[column], position[column]
                largest[row, group], argmax[row, group] = value, winner

    @_compiled
    def forward(planes, kernels, width, largest, argmax):
        """Slides the rows of ``kernels`` [channels, side, filters, side] over each plane, two filters at a time."""
        length = largest.shape[1] * pool * width
        sums = np.empty((2, length), np.float32)
        for image in range(planes.shape[0]):
            for pair in range(0, kernels.shape[2], 2):
                sums[:] = 0
                for channel in range(planes.shape[1]):
                    for row in range(side):
                        pixels = planes[image, channel, row * width : row * width + length]
                        slide(kernels[channel, row, pair : pair + 2], pixels, sums)
                for half in range(2):
                    maps = largest[image, :, :, pair + half], argmax[image, :, :, pair + half]
                    max_pool(sums[half], width, *maps)

    @_compiled
    def add_patches(planes, width, argmax, upstream, gradient):
        """Adds the patch at each argmax, times its ``upstream``, to ``gradient`` [filters, channels, K, K]."""
        for image, filter_, row, column in np.ndindex(len(planes), len(gradient), *argmax.shape[1:3]):
            scale, start = upstream[image, row, column, filter_], argmax[image, row, column, filter_]
            if scale != 0:
                sums, pixels = gradient[filter_], planes[image]
                for channel in range(len(pixels)):
                    for y in range(side):
                        for x in range(side):
                            sums[channel, y, x] += scale * pixels[channel, start + y * width + x]

    @_compiled
    def add_kernels(kernels, width, argmax, upstream, gradient):
        """Adds the kernel at each argmax, times its ``upstream``, to ``gradient`` [n, channels, pixels]."""
        for image, filter_, row, column in np.ndindex(len(gradient), len(kernels), *argmax.shape[1:3]):
            scale, start = upstream[image, row, column, filter_], argmax[image, row, column, filter_]
            if scale != 0:
                sums, taps = gradient[image], kernels[filter_]
                for channel in range(len(taps)):
                    for y in range(side):
                        for x in range(side):
                            sums[channel, start + y * width + x] += scale * taps[channel, y, x]

    return Loops(forward, add_patches, add_kernels)
