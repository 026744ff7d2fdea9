"""Fixtures of the evaluation's tests: small simulated studies."""

import numpy as np
import pandas as pd
import pytest

from components.common.artifacts.dataset import TUMOUR_COLUMNS, Dataset, Exclusion, Flow
from components.common.artifacts.members import Member, MemberFacts, Members
from components.common.artifacts.splits import MemberSplit, Splits


def make_dataset(tumours: int = 110, patients: int = 89, *, signal: float = 1.0, seed: int = 1, synthetic: bool = True):
    """A simulated dataset: random crops whose lesion is brighter by ``signal``, random covariates, some unknown."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(tumours) < round(tumours * 53 / 110)).astype(int)
    who = np.concatenate([np.arange(patients), rng.integers(0, patients, tumours - patients)])
    row, column = np.mgrid[-75:76, -75:76]
    lesion = np.hypot(row, column) < 38
    latent = signal * label + rng.normal(size=tumours)
    crops = rng.normal(35, 8, (tumours, 151, 151)) + lesion * (20 + 12 * latent[:, None, None])
    response = np.where(label == 1, rng.choice(["SD", "PD"], tumours), rng.choice(["CR", "PR"], tumours))
    table = dict.fromkeys(TUMOUR_COLUMNS, np.nan) | {
        "tumour": [f"T{i:04d}" for i in range(tumours)],
        "patient": [f"P{i:04d}" for i in who],
        "response": response,
        "label": label,
        "diameter_mm": rng.uniform(10, 33, tumours).round(1),
        "follow_up_days": rng.integers(30, 92, tumours),
        "primary_site": rng.choice(["lung", "breast", "rectum", "stomach", "kidney", "other"], tumours),
        "location": rng.choice(["cerebrum", "cerebellum", "brain stem"], tumours, p=[0.7, 0.25, 0.05]),
        "age": rng.integers(20, 90, tumours),
        "sex": rng.choice(["F", "M"], tumours),
        "kps": np.where(rng.random(tumours) < 0.02, np.nan, rng.choice([70, 80, 90, 100], tumours)),
        "primary_controlled": rng.choice(["yes", "no"], tumours),
        "extracranial_metastases": rng.choice(["yes", "no"], tumours),
        "systemic_therapy": rng.choice(["yes", "no"], tumours),
        "total_dose_gy": rng.integers(16, 48, tumours),
        "fractions": rng.integers(1, 6, tumours),
        "bed10_gy": rng.integers(30, 100, tumours),
        "device": rng.choice(["CyberKnife", "linac"], tumours, p=[0.9, 0.1]),
        "match_level": "uid",
        **_later_columns(np.random.default_rng([seed, 1]), who, response),
    }
    dataset = Dataset(
        crops=crops.astype(np.float32),
        tumours=pd.DataFrame(table, columns=list(TUMOUR_COLUMNS)),
        flow=Flow(
            listed=tumours + 12,
            listed_patients=patients + 10,
            exclusions=(
                Exclusion("NO_FOLLOW_UP", "no imaging follow-up within the window", 5),
                Exclusion("WBRT", "combined with whole-brain radiotherapy", 4),
                Exclusion("TOO_LARGE", "longest diameter above 35 mm", 3),
            ),
            used=tumours,
            used_patients=patients,
            unlisted_gtvs=2,
        ),
        image_definition={"version": 1, "size_px": 151, "size_mm": 40.0},
        synthetic=synthetic,
        digest="d" * 64,
    )
    return dataset, latent


def _later_columns(rng, who, response):
    """The columns that release 0.1 does not have, for patients ``who``: some unknown, some of several centres."""
    n = len(who)
    baseline = rng.uniform(10, 33, n).round(1)
    ratio = np.select([response == "CR", response == "PR", response == "SD"], [0, 0.5, 0.9], 1.6)
    later = rng.random(n) < 0.4
    return {
        "centre": np.array(["C-aaaaaaaaa2", "C-bbbbbbbbb3", "C-ccccccccc4", None], dtype=object)[who % 7 % 4],
        "pseudoprogression": np.where(response == "PD", rng.choice(["yes", "no"], n, p=[0.2, 0.8]), None),
        "later_response": np.where(later, rng.choice(["CR", "PR", "SD", "PD"], n), None),
        "later_follow_up_days": np.where(later, rng.integers(120, 400, n), np.nan),
        "systemic_therapy_kind": rng.choice(["none", "chemotherapy", "targeted", "immunotherapy", None], n),
        "baseline_diameter_mm": np.where(rng.random(n) < 0.8, baseline, np.nan),
        "follow_up_diameter_mm": np.where(rng.random(n) < 0.8, (ratio * baseline).round(1), np.nan),
        "contrast_agent": rng.choice(["yes", "no", None], n, p=[0.7, 0.1, 0.2]),
        "kvp": rng.choice([100.0, 120.0, np.nan], n),
        "slice_thickness_mm": rng.choice([1.0, 1.25, 3.0], n),
        "kernel": rng.choice(["soft", "standard", "sharp", "unknown"], n),
    }


def make_splits(dataset, groups: int = 5, members: int = 10, unit: str = "patient", seed: int = 1):
    """Random splits; with unit patient no patient is in two sets of a member."""
    rng = np.random.default_rng(seed)
    table = dataset.tumours
    units = (table["patient"] if unit == "patient" else table["tumour"]).to_numpy()
    label = dict(zip(units, table["label"], strict=True))
    member_splits, shared = [], 0
    for group in "ABCDEFGH"[:groups]:
        evaluation = _some_of_each(units, label, 0.21, rng)
        rest = np.array([u for u in units if u not in evaluation])
        for index in range(1, members + 1):
            validation = _some_of_each(rest, label, 0.25, rng)
            side = np.where(np.isin(units, list(evaluation)), 2, np.where(np.isin(units, list(validation)), 1, 0))
            sets = [tuple(sorted(table["tumour"][side == s])) for s in (0, 1, 2)]
            member_splits.append(MemberSplit(group, index, *sets))
            sides = table.assign(side=side).groupby("patient")["side"].nunique()
            shared = max(shared, int((sides > 1).sum()))
    return Splits(tuple(member_splits), unit, shared, {"asked": [12, 11]}, digest="e" * 64)


def _some_of_each(units, label, share, rng):
    chosen = set()
    for wanted in (0, 1):
        of_class = sorted({u for u in units if label[u] == wanted})
        chosen |= set(rng.choice(of_class, max(1, round(share * len(of_class))), replace=False))
    return chosen


def make_members(dataset, splits, latent, noise: float = 1.0, seed: int = 1):
    """Members whose predictions are the latent signal with independent noise, and simulated histories."""
    rng = np.random.default_rng(seed)
    made = []
    for split in splits.members:
        logit = 0.9 * (latent - latent.mean()) + noise * rng.normal(size=len(latent))
        steps = np.arange(10, 210, 10)
        climb = 0.5 + 0.3 * (1 - np.exp(-steps / 80)) + 0.03 * rng.normal(size=len(steps))
        history = pd.DataFrame(
            {
                "attempt": np.where(steps > 150, 1, 0) if split.index == 3 else 0,
                "step": np.where(steps > 150, steps - 150, steps) if split.index == 3 else steps,
                "training_loss": np.exp(-steps / 150),
                "validation_loss": 0.7 - 0.1 * climb,
                "validation_accuracy": climb,
            }
        )
        facts = MemberFacts(
            seed=split.index,
            restarts=int(split.index == 3),
            flagged=split.index == 7,
            accepted_step=180,
            validation_accuracy=float(climb.max()),
            seconds=2.5,
            key="k" * 64,
            reused=False,
            determinism="bitwise",
        )
        probabilities = (1 / (1 + np.exp(-logit))).astype(np.float32)
        made.append(Member(split, {}, history, probabilities, facts))
    return Members(tuple(made), dataset.digest)


@pytest.fixture(scope="session")
def study():
    """Dataset, splits and members of a synthetic study of the paper's size with a moderate signal."""
    dataset, latent = make_dataset()
    splits = make_splits(dataset)
    return dataset, splits, make_members(dataset, splits, latent)


@pytest.fixture(scope="session")
def make():
    """The functions that make studies, for studies of other sizes."""
    return make_dataset, make_splits, make_members
