"""Statistics over many phantom cohorts: `make null` and `make gate-seeds`."""

import json
from pathlib import Path

import numpy as np
import pytest

from components.common.presets import resolve
from components.promote.gate import Load, decide

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * 3600)]
RECORD = Path(__file__).parents[2] / "runs" / "phantom-studies.json"


def record(name: str, values: dict) -> None:
    """Stores the figures of the last run for people to read."""
    RECORD.parent.mkdir(exist_ok=True)
    known = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    RECORD.write_text(json.dumps(known | {name: values}, indent=1) + "\n")


def test_without_signal_nothing_is_learned(run_study):
    """Mean ensemble AUC over 12 phantoms without signal lies within 0.06 of 0.5: nothing leaks."""
    small = {"filters_1": 4, "filters_2": 8, "dense_1": 16, "dense_2": 16}
    wide = {"groups": 5, "members": 2}  # five evaluation sets cover most of a cohort
    found = {}
    for seed in range(201, 213):
        study = resolve("fast", {"seed": seed, "study": f"null-{seed}", "split": wide, "network": small})
        found[seed] = run_study(seed, 0.0, study).mean_auc
        print(f"seed {seed}: mean AUC {found[seed]:.3f}", flush=True)
    mean = float(np.mean(list(found.values())))
    record("null", {"mean": mean, "seeds": found})
    assert abs(mean - 0.5) < 0.06, found


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
