"""The gate's verdicts: every rule, each with its reason."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from components.common.settings import GateSettings
from components.promote.gate import Change, Contender, Load, Trial, choose_group, compare, decide
from components.promote.load_rule import check_load
from tests.components.evaluate.golden_metrics import golden_metrics
from tests.components.model.bundles import make_bundle

METRICS = dataclasses.replace(
    golden_metrics(),
    mean_auc=0.78,
    mean_auc_lower_bound=0.70,
    groups=dict.fromkeys("ABC", golden_metrics().groups["A"]),
)
LOADED = Load(True, "the golden case was answered within 1e-4.")
NOT_LOADED = Load(False, "the golden answers differ by 0.2.")
SIDE = Contender("A", "image-1", "srs-response", False, frozenset({"patient-90", "patient-91"}))


def change(difference: float, se: float = 0.03) -> Change:
    return Change((), difference, se, 12, 11)


def trial(responders: int = 12, non_responders: int = 11, worse: float = 0.0) -> Trial:
    rng = np.random.default_rng(1)
    labels = [0] * responders + [1] * non_responders
    champion = np.array(labels) + rng.normal(0, 0.5, len(labels))
    challenger = champion + rng.normal(0, 0.05, len(labels)) - worse * np.array(labels)
    return Trial(labels, [f"patient-{i}" for i in range(len(labels))], challenger, champion)


@pytest.mark.parametrize(
    ("metrics", "compared", "load", "verdict", "reason"),
    [
        ({}, None, LOADED, "promoted", "there is no champion yet"),
        ({}, change(0.02), LOADED, "promoted", "AUC +0.020 against the champion (required: at least -0.05, and"),
        ({}, change(-0.03), LOADED, "promoted", "SE 0.030, n = 12 + 11"),
        ({}, change(0.0, 0.0), LOADED, "promoted", "AUC +0.000"),
        ({"mean_auc": 0.59}, None, LOADED, "refused", "over 3 groups is 0.590 (required: 0.60)"),
        ({"mean_auc": 0.60}, None, LOADED, "promoted", "is 0.600"),
        ({"mean_auc_lower_bound": 0.5}, None, LOADED, "refused", "bound 0.500 (required: above 0.5)"),
        ({"mean_auc": math.nan}, None, LOADED, "refused", "is nan"),
        ({"mean_auc_lower_bound": None}, None, LOADED, "refused", "bound nan"),
        ({}, change(-0.06, 0.2), LOADED, "refused", "AUC -0.060"),
        ({}, change(-0.04, 0.02), LOADED, "refused", "bounds -0.066 and -0.014"),
        ({}, None, NOT_LOADED, "refused", "the golden answers differ by 0.2"),
        ({}, Change(("images differ.",)), LOADED, "not_comparable", "not comparable: images differ."),
        ({"mean_auc": 0.4}, Change(("images differ.",)), LOADED, "refused", "is 0.400"),
    ],
)
def test_verdict(metrics: dict[str, Any], compared: Change | None, load: Load, verdict: str, reason: str) -> None:
    decided = decide(dataclasses.replace(METRICS, **metrics), "A", compared, load, GateSettings())
    assert decided.verdict == verdict
    assert reason in " ".join(decided.reasons)
    assert len(decided.reasons) == 3
    assert all(math.isfinite(number) for number in decided.numbers.values())


@pytest.mark.parametrize(
    ("rule", "compared", "verdict"),
    [
        ("better", change(0.02), "refused"),
        ("better", change(0.05), "promoted"),
        ("off", change(-0.3), "promoted"),
        ("off", Change(("images differ.",)), "promoted"),
    ],
)
def test_other_rules_of_change(rule: Any, compared: Change, verdict: str) -> None:
    assert decide(METRICS, "A", compared, LOADED, GateSettings(change=rule)).verdict == verdict


def test_the_first_champion_is_of_the_first_group_and_later_ones_keep_its_group() -> None:
    assert choose_group(METRICS, None) == "A"
    assert choose_group(METRICS, "C") == "C"
    assert choose_group(METRICS, "E") == "A"


@pytest.mark.parametrize(
    ("fields", "obstacle"),
    [
        ({"group": "B"}, "the champion is of group B, the challenger of group A."),
        ({"image_digest": "image-2"}, "different image definitions"),
        ({"study": "another"}, "another study"),
        ({"synthetic": True}, "the champion was trained on a SYNTHETIC cohort"),
        ({"seen_patients": frozenset({"patient-3"})}, "the champion has seen 1 of the 23 compared patients"),
    ],
)
def test_is_not_comparable(fields: dict[str, Any], obstacle: str) -> None:
    result = compare(SIDE, dataclasses.replace(SIDE, **fields), trial(), GateSettings())
    assert len(result.obstacles) == 1
    assert obstacle in result.obstacles[0]
    assert decide(METRICS, "A", result, LOADED, GateSettings()).verdict == "not_comparable"


def test_is_not_comparable_where_the_challenger_saw_a_patient() -> None:
    challenger = dataclasses.replace(SIDE, seen_patients=frozenset({"patient-0", "patient-22", "patient-99"}))
    assert compare(challenger, SIDE, trial(), GateSettings()).obstacles == (
        "the challenger has seen 2 of the 23 compared patients in training.",
    )


@pytest.mark.parametrize(("responders", "non_responders"), [(7, 11), (12, 7), (0, 11)])
def test_is_not_comparable_with_too_few_of_a_class(responders: int, non_responders: int) -> None:
    result = compare(SIDE, SIDE, trial(responders, non_responders), GateSettings())
    assert result.obstacles == (
        f"only {responders} responders and {non_responders} non-responders can be compared; "
        "at least 8 of each class are required.",
    )


def test_eight_tumours_of_each_class_are_enough() -> None:
    assert compare(SIDE, SIDE, trial(8, 8), GateSettings()).obstacles == ()


def test_compares_paired_and_refuses_a_worse_challenger() -> None:
    result = compare(SIDE, SIDE, trial(worse=1.5), GateSettings())
    assert result.difference < -0.3
    assert decide(METRICS, "A", result, LOADED, GateSettings()).verdict == "refused"


def test_equal_answers_are_no_loss() -> None:
    same = trial()
    result = compare(SIDE, SIDE, dataclasses.replace(same, challenger=same.champion), GateSettings())
    assert (result.difference, result.se) == (0.0, 0.0)
    assert decide(METRICS, "A", result, LOADED, GateSettings()).verdict == "promoted"


def test_reports_the_difference_detectable_with_80_percent_power() -> None:
    # Normal quantiles 1.2816 (one-sided 90 %) and 0.8416 (80 %), from any table.
    assert change(0.0, 0.1).detectable == pytest.approx(0.21232, abs=1e-4)


def test_reads_a_contender_from_its_manifest() -> None:
    manifest = {
        "group": "A",
        "digest": "digest-1",
        "image_digest": "image-1",
        "settings": {"study": "srs-response"},
        "synthetic": False,
        "seen_patients": ["patient-91", "patient-90"],
        "members": ["A-01"],
    }
    assert Contender.from_manifest(manifest) == SIDE


def test_a_bundle_that_the_serving_runtime_cannot_load_is_refused(tmp_path) -> None:
    folder = tmp_path / "bundle"
    make_bundle(folder)
    (folder / "ensemble.onnx").write_bytes(b"no graph")
    load = check_load(folder, tmp_path / "absent.keras", np.zeros((0, 151, 151), np.float32))
    assert not load.ok
    verdict = decide(METRICS, "A", None, load, GateSettings())
    assert verdict.verdict == "refused"
    assert "ensemble.onnx is missing or was changed" in verdict.reasons[2]
