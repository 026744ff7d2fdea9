"""The metrics of two small studies, ``usual`` and ``one_group``, as earlier runs wrote ``metrics.json``."""

import json
from pathlib import Path
from typing import Any

from components.common.artifacts.metrics import METRICS_FILE, Metrics

FILE = Path(__file__).with_name("metrics.json")


def golden_dict(case: str = "usual") -> dict[str, Any]:
    """Plain values, as stored in the file."""
    values: dict[str, Any] = json.loads(FILE.read_text())[case]
    return values


def golden_metrics(case: str = "usual") -> Metrics:
    """The same as dataclasses; ``usual`` has the groups A and B."""
    return METRICS_FILE.validate_json(json.dumps(golden_dict(case)))


def golden_study(make, case):
    """The study that the case of ``metrics.json`` was computed on."""
    make_dataset, make_splits, make_members = make
    if case == "usual":
        dataset, latent = make_dataset(60, 48)
        splits = make_splits(dataset, 2, 3)
    else:
        dataset, latent = make_dataset(20, 18)
        splits = make_splits(dataset, 1, 1)
    return dataset, splits, make_members(dataset, splits, latent)
