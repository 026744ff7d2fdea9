"""A cohort of 40 tumours with covariates and scores, a bundle for it, and a metrics object of it."""

import numpy as np
import pandas as pd

from components.common.artifacts.dataset import TUMOUR_COLUMNS, Dataset, Flow
from components.imaging.crop import ImageDefinition
from tests.components.model.bundles import draw_crops

#: Fingerprint of the key of the pseudonyms, as bundle and cohort state it.
KEY = "0123456789abcdef"


def make_table(count: int = 40, patients: int = 28) -> pd.DataFrame:
    """A tumour table: labels alternate, two centres, covariates of all kinds."""
    at = np.arange(count)
    table = pd.DataFrame(index=range(count), columns=list(TUMOUR_COLUMNS))
    table["tumour"] = [f"T-{index:03d}" for index in at]
    table["patient"] = [f"P-{index % patients:03d}" for index in at]
    table["label"] = at % 2
    table["response"] = np.where(at % 2, "PD", "PR")
    table["sex"] = np.where(at % patients % 3 == 0, "f", "m")
    table["age"] = 50.0 + (at % patients)
    table["primary_site"] = np.where(at % 4 == 1, "breast", "lung")
    table["location"] = np.where(at % 5 == 0, "cerebellum", "cerebrum")
    table["diameter_mm"] = 11.0 + (at * 7) % 23
    table["device"] = np.where(at % 3 == 0, "gamma_knife", "cyberknife")
    table["contrast_agent"] = np.where(at % 7 == 0, None, "yes")
    table["kvp"] = np.where(at % 2 == 0, 120.0, 140.0)
    table["centre"] = np.where(at % patients < 10, "C-aaaaaaaaaa", "C-bbbbbbbbbb")
    table["kps"], table["total_dose_gy"], table["fractions"], table["bed10_gy"] = 90, 24.0, 1, 81.6
    for name in ("primary_controlled", "extracranial_metastases", "systemic_therapy"):
        table[name] = True
    return table


def make_cohort(count: int = 40, *, key: str = KEY, synthetic: bool = True, **image: str) -> Dataset:
    """A dataset of that table, with crops; its digest is made up."""
    table = make_table(count)
    patients = int(table["patient"].nunique())
    return Dataset(
        crops=draw_crops(count, np.random.default_rng(5)),
        tumours=table,
        flow=Flow(listed=count, listed_patients=patients, exclusions=(), used=count, used_patients=patients),
        image_definition={**ImageDefinition().to_dict(), **image},
        synthetic=synthetic,
        digest="c" * 64,
        pseudonym_key=key,
    )


def make_scores(table: pd.DataFrame, seed: int = 3) -> pd.DataFrame:
    """Scores that separate the classes partly, with some ties among the vote fractions."""
    rng = np.random.default_rng(seed)
    mean = np.clip(0.4 + 0.2 * table["label"].to_numpy() + rng.normal(0, 0.18, len(table)), 0.01, 0.99)
    rows = table[["tumour", "patient", "label"]].copy()
    rows["mean"], rows["vote"], rows["spread"] = mean, np.round(mean, 1), 0.1
    rows["calibrated"] = 1 / (1 + np.exp(-(1.4 * np.log(mean / (1 - mean)) - 0.2)))
    return rows
