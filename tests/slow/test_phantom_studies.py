"""Statistics over permutations of one phantom cohort and over many cohorts: `make null` and `make gate-seeds`."""

import dataclasses
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from components.common.files import digest_of, digest_of_array, digest_of_sources
from components.common.presets import resolve
from components.model.networks.building import build_network
from components.phantom.phantom import write_cohort
from components.preprocess.cohort import preprocess_cohort
from components.promote.gate import Load, decide
from components.stats.permutation import null_distribution
from pipelines.local.permuting import repetitions
from pipelines.local.procedure import Procedure

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * 3600)]
ROOT = Path(__file__).parents[2]
RECORD = ROOT / "runs" / "phantom-studies.json"


def record(name: str, values: dict) -> None:
    """Stores the figures of the last run for people to read."""
    RECORD.parent.mkdir(exist_ok=True)
    known = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    RECORD.write_text(json.dumps(known | {name: values}, indent=1) + "\n")


def test_without_signal_nothing_is_learned(tmp_path):
    """Whether labels leak into the figures: with permuted labels the mean AUCs must be 0.5, on average over them.

    PERMUTATIONS says how many (100); finished ones are kept in ``runs/null`` and are not repeated with the same code.
    """
    small = {"filters_1": 4, "filters_2": 8, "dense_1": 16, "dense_2": 16}
    wide = {"groups": 5, "members": 2}  # five evaluation sets cover most of a cohort
    study = resolve("fast", {"seed": 201, "study": "null", "split": wide, "network": small})
    table = write_cohort(tmp_path / "cohort", seed=201, signal=0.0)
    data = preprocess_cohort(str(table), study.preprocess, b"key")
    code = digest_of_sources(ROOT / "components", ROOT / "pipelines" / "local")  # a leak of new code must be found
    digest = digest_of([digest_of_array(data.crops), data.tumours.to_csv(), code])
    procedure = Procedure(dataclasses.replace(data, digest=digest), build_network(study), study)
    n = int(os.environ.get("PERMUTATIONS", "100"))
    found = repetitions(procedure, n, RECORD.parent / "null", seed=1, progress=Lines())
    null = null_distribution([one.evaluation for one in found])
    development = null_distribution([one.development for one in found])
    seconds = float(np.median([one.seconds for one in found]))
    figures = {"evaluation": dataclasses.asdict(null), "development": dataclasses.asdict(development)}
    record("null", {**figures, "seconds_of_one": seconds, "redrawn": sum(one.redrawn for one in found)})
    print(f"one permutation takes {seconds:.0f} s; {figures}", flush=True)
    assert abs(null.mean - 0.5) < 0.02, figures
    assert abs(development.mean - 0.5) < 0.02, figures


class Lines:
    """Prints a line for each permutation, with the time that is left."""

    def __init__(self):
        self.started, self.shown = time.monotonic(), ""

    def __call__(self, done, total, note):
        if note != self.shown:
            elapsed = time.monotonic() - self.started
            left = f", {elapsed / done * (total - done) / 60:.0f} min left" if done else ""
            print(f"{note}{left}", flush=True)
            self.shown = note


def test_default_phantom_passes_the_gate(run_study):
    """Of 20 default phantoms at least 19 pass the value rule with the default settings."""
    passed, found = [], {}
    for seed in range(1, 21):
        study = resolve("default", {"seed": seed})
        metrics = run_study(seed, 1.0, study)
        verdict = decide(metrics, "A", None, Load(ok=True, text="not checked here"), study.gate)
        found[seed] = {name: getattr(metrics, name) for name in ("mean_auc", "mean_auc_lower_bound")}
        passed.append(verdict.verdict == "promoted")
        print(f"seed {seed}: {verdict.verdict} {found[seed]}", flush=True)
    record("gate-seeds", {"passed": sum(passed), "seeds": found})
    assert sum(passed) >= 19, found
