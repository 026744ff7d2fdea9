"""A small synthetic cohort of crops: homogeneous against rim-enhancing, necrotic discs on noisy brain."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from components.common.artifacts import MemberSplit
from components.common.settings import IMAGE_SIZE_MM, IMAGE_SIZE_PX, TrainSettings


def draw_crops(n, rng):
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


def draw_splits(tumours, count, rng, group="A"):
    """Splits of one group: a fifth of the tumours evaluates, a fifth validates, both classes everywhere."""
    pairs = [tumours[i : i + 2] for i in range(0, len(tumours), 2)]
    held, rest = pairs[: len(pairs) // 5], pairs[len(pairs) // 5 :]
    splits = []
    for index in range(1, count + 1):
        order = [rest[i] for i in rng.permutation(len(rest))]
        sets = (order[len(held) :], order[: len(held)], held)
        splits.append(MemberSplit(group, index, *(tuple(sorted(t for pair in part for t in pair)) for part in sets)))
    return splits


@pytest.fixture(scope="session")
def cohort():
    """Crops, labels and pseudonyms of 30 tumours."""
    crops, labels = draw_crops(30, np.random.default_rng(7))
    return crops, labels, [f"T{i:03d}" for i in range(len(labels))]


@pytest.fixture(scope="session")
def splits(cohort):
    """Three members of one group."""
    return draw_splits(cohort[2], 3, np.random.default_rng(8))


@pytest.fixture(scope="session")
def tiny():
    """A network and protocol that train in well under a second, with restarts on the way."""
    return TrainSettings(
        filters_1=2, filters_2=3, kernel_1=4, kernel_2=3, pool_1=12, pool_2=3, dense_1=6, dense_2=4,
        batch_size=6, max_steps=20, validate_every=5, restart_step=10, restart_accuracy=0.7, max_restarts=1,
        patience_steps=15, good_accuracy=1.0,
    )  # fmt: skip


@pytest.fixture(scope="session")
def settings_at_random():
    """A small network of random kernel and pool sizes, widths and batch size, for a seed."""

    def draw(seed):
        rng = np.random.default_rng(seed)
        pool_1 = int(rng.choice([3, 5, 8, 12]))
        return TrainSettings(
            filters_1=int(rng.integers(1, 5)), filters_2=int(rng.integers(1, 6)), kernel_1=int(rng.integers(1, 8)),
            kernel_2=int(rng.integers(1, 5)), pool_1=pool_1, pool_2=int(rng.integers(1, 4)),
            dense_1=int(rng.integers(2, 9)), dense_2=int(rng.integers(2, 9)), dropout=float(rng.choice([0, 0.3])),
            batch_size=int(rng.integers(1, 7)),
        )  # fmt: skip

    return draw
