"""A small synthetic cohort of crops: homogeneous against rim-enhancing, necrotic discs on noisy brain."""

import numpy as np
from scipy.ndimage import gaussian_filter

from components.common.artifacts.splits import MemberSplit
from components.common.settings import IMAGE_SIZE_MM, IMAGE_SIZE_PX


def make_crops(n, rng):
    """Crops [n, 151, 151] in HU and labels [n]; classes overlap in how necrotic a lesion is."""
    labels = np.arange(n) % 2
    axis = (np.arange(IMAGE_SIZE_PX) - IMAGE_SIZE_PX // 2) * IMAGE_SIZE_MM / IMAGE_SIZE_PX
    distance = np.hypot(*np.meshgrid(axis, axis))
    crops = np.empty((n, IMAGE_SIZE_PX, IMAGE_SIZE_PX), np.float32)
    for label, crop in zip(labels, crops, strict=True):
        radius, necrosis = rng.uniform(5, 17.5), np.clip(rng.normal(0.3 + 0.4 * label, 0.15), 0, 1)
        lesion = 35 + 40 * (distance < radius) - 55 * necrosis * (distance < 0.7 * radius)
        crop[...] = gaussian_filter(lesion + rng.normal(0, 12, lesion.shape), 2)
    return crops, labels


def make_splits(tumours, count, rng, group="A"):
    """Splits of one group: a fifth of the tumours evaluates, a fifth validates, both classes everywhere."""
    pairs = [tumours[i : i + 2] for i in range(0, len(tumours), 2)]
    held, rest = pairs[: len(pairs) // 5], pairs[len(pairs) // 5 :]
    splits = []
    for index in range(1, count + 1):
        order = [rest[i] for i in rng.permutation(len(rest))]
        sets = (order[len(held) :], order[: len(held)], held)
        splits.append(MemberSplit(group, index, *(tuple(sorted(t for pair in part for t in pair)) for part in sets)))
    return splits
