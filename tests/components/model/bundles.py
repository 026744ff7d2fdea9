"""A small bundle for tests: random weights, their probabilities in plain numpy, and a disc as the golden slice."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from components.common.artifacts.dataset import TUMOUR_COLUMNS, Dataset, Flow
from components.common.artifacts.members import Member
from components.common.artifacts.score_metrics import PlattScaling
from components.common.artifacts.splits import MemberSplit
from components.common.presets import resolve
from components.common.settings import IMAGE_SIZE_PX, StudySettings
from components.imaging.crop import ImageDefinition
from components.model.bundle import Development, write_bundle
from components.model.golden import GoldenInput
from components.model.manifest import Manifest
from components.model.network import Network
from components.model.networks.building import build_network
from tests.components.common.member_facts import made_facts

MEMBERS = 3
SETTINGS = resolve("default", {"network": {"filters_1": 4, "filters_2": 6, "dense_1": 8, "dense_2": 5}})


def draw_weights(network: Network, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Initial weights with biases that are not zero, so that a bias put in the wrong place is seen."""
    weights = network.initial_weights(rng)
    return {
        name: (rng.standard_normal(value.shape) * 0.05).astype(np.float32) if name.endswith("bias") else value
        for name, value in weights.items()
    }


def reference(weights: dict[str, np.ndarray], crops: np.ndarray, settings: StudySettings) -> np.ndarray:
    """[n] probability of non-response of cha2018, in float64 and without any library of the trade."""
    return (1 / (1 + np.exp(-reference_margins(weights, crops, settings)))).astype(np.float32)


def reference_margins(weights: dict[str, np.ndarray], crops: np.ndarray, settings: StudySettings) -> np.ndarray:
    """[n] logit of the non-responder minus that of the responder, of cha2018 in float64."""
    level, width = settings.train.window_level_hu, settings.train.window_width_hu
    x = np.clip((crops.astype(np.float64) - level) / width + 0.5, 0, 1)[..., np.newaxis]
    for number in (1, 2):
        pool = settings.network[f"pool_{number}"]
        kernel, bias = weights[f"conv_{number}_kernel"].astype(np.float64), weights[f"conv_{number}_bias"]
        windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
        x = np.maximum(np.einsum("nrcikl,klio->nrco", windows, kernel, optimize=True) + bias, 0)
        side = x.shape[1] // pool
        x = x[:, : side * pool, : side * pool].reshape(len(x), side, pool, side, pool, -1).max(axis=(2, 4))
    x = x.reshape(len(x), -1)
    for number in (1, 2):
        x = np.maximum(x @ weights[f"dense_{number}_kernel"] + weights[f"dense_{number}_bias"], 0)
    logits = x @ weights["output_kernel"] + weights["output_bias"]
    return np.asarray(logits[:, 1] - logits[:, 0])


def draw_crops(count: int, rng: np.random.Generator) -> np.ndarray:
    """[n, 151, 151] float32 HU: brain with a brighter disc."""
    yy, xx = np.mgrid[:IMAGE_SIZE_PX, :IMAGE_SIZE_PX] - IMAGE_SIZE_PX // 2
    crops = rng.normal(35, 8, (count, IMAGE_SIZE_PX, IMAGE_SIZE_PX))
    radii, lifts = rng.uniform(20, 60, count), rng.uniform(-30, 60, count)
    crops += lifts[:, None, None] * (yy**2 + xx**2 < radii[:, None, None] ** 2)
    return crops.astype(np.float32)


def make_dataset(rng: np.random.Generator, tumours: int = 12, patients: int = 8) -> Dataset:
    """A made-up dataset; its digest is made up too."""
    table = pd.DataFrame(index=range(tumours), columns=list(TUMOUR_COLUMNS))
    table["tumour"] = [f"T{index:03d}" for index in range(tumours)]
    table["patient"] = [f"P{index % patients:03d}" for index in range(tumours)]
    table["label"] = [index % 2 for index in range(tumours)]
    return Dataset(
        crops=draw_crops(tumours, rng),
        tumours=table,
        flow=Flow(listed=tumours, listed_patients=patients, exclusions=(), used=tumours, used_patients=patients),
        image_definition=ImageDefinition().to_dict(),
        synthetic=True,
        digest="0" * 64,
    )


def make_members(dataset: Dataset, settings: StudySettings, rng: np.random.Generator, count: int) -> list[Member]:
    """Members with drawn weights; the last two tumours are for evaluation."""
    names = tuple(dataset.tumours.tumour)
    members, network = [], build_network(settings)
    for index in range(1, count + 1):
        weights = draw_weights(network, rng)
        split = MemberSplit("A", index, names[:-5], names[-5:-2], names[-2:])
        answers = reference(weights, dataset.crops, settings)
        members.append(Member(split, weights, pd.DataFrame(), answers, made_facts()))
    return members


def golden_input() -> GoldenInput:
    """A disc on a slice of uneven spacing, and an ellipse about it."""
    rows, columns = np.mgrid[:96, :110]
    inside = ((rows - 40) * 0.8) ** 2 + ((columns - 60) * 0.7) ** 2 < 12**2
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    contour = np.column_stack([-40 + 60 * 0.7 + 12 * np.cos(angle), -30 + 40 * 0.8 + 11 * np.sin(angle)])
    slice_hu = (30 + 40 * inside + 5 * np.sin(rows / 3)).astype(np.float32)
    return GoldenInput(slice_hu, (-40.0, -30.0), (0.7, 0.0), (0.0, 0.8), contour)


def make_bundle(folder: Path, count: int = MEMBERS, settings: StudySettings = SETTINGS, seed: int = 1) -> Manifest:
    """A written bundle."""
    rng = np.random.default_rng(seed)
    dataset = make_dataset(rng)
    members = make_members(dataset, settings, rng, count)
    return write(folder, members, dataset, settings)


def write(folder: Path, members: list[Member], dataset: Dataset, settings: StudySettings, **extra: str) -> Manifest:
    """A bundle of these members."""
    network, golden = build_network(settings), golden_input()
    development = Development.of(np.linspace(0.2, 0.9, 20), PlattScaling(1.5, -0.25, 20))
    return write_bundle(
        folder,
        members,
        dataset=dataset,
        network=network,
        settings=settings,
        golden=golden,
        development=development,
        extra=dict(extra),
    )
