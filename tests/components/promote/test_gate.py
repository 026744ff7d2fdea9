"""The gate's verdicts: every rule, each with its reason."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from components.common.artifacts.metrics import Metrics
from components.common.settings import GateSettings
from components.promote.change import Change
from components.promote.gate import Load, decide
from components.promote.load_rule import check_load
from tests.components.evaluate.golden_metrics import golden_metrics
from tests.components.model.bundles import make_bundle

OUTCOMES = {
    f"{rule} ({outcome})"
    for rule in ("Value", "Design", "Change", "Load")
    for outcome in ("passed", "FAILED", "UNDECIDED")
}
METRICS = dataclasses.replace(
    golden_metrics(),
    mean_auc=0.78,
    mean_auc_lower_bound=0.70,
    counts=dataclasses.replace(golden_metrics().counts, groups=5, members=50),
    groups=dict.fromkeys("ABCDE", golden_metrics().groups["A"]),
)
LOADED = Load(True, "the golden case was answered within 1e-4.")
NOT_LOADED = Load(False, "the golden answers differ by 0.2.")


def change(difference: float, se: float = 0.03, against: str = "champion") -> Change:
    return Change(against, (), tuple("ABCDE"), difference, se, 40, 37)


def obstacle(text: str) -> Change:
    return Change("champion", (text,))


@pytest.mark.parametrize(
    ("metrics", "compared", "load", "verdict", "reason"),
    [
        ({}, [], LOADED, "promoted", "there is no champion yet"),
        ({}, [change(0.02)], LOADED, "promoted", "mean AUC +0.020 against the champion (SE 0.030)"),
        ({}, [change(-0.03)], LOADED, "promoted", "bound -0.079 (required: above -0.08), on 40 responders and 37"),
        ({}, [change(-0.031)], LOADED, "refused", "bound -0.080"),
        ({}, [change(0.0, 0.0)], LOADED, "promoted", "mean AUC +0.000"),
        ({}, [change(0.0, 0.07)], LOADED, "refused", "an equally good model passes with a probability of 31%"),
        (
            {},
            [change(0.02), change(-0.06, 0.03, "reference")],
            LOADED,
            "refused",
            "mean AUC -0.060 against the reference",
        ),
        ({"mean_auc": 0.59}, [], LOADED, "refused", "over 5 groups is 0.590 (required: 0.60)"),
        ({"mean_auc": 0.60}, [], LOADED, "promoted", "is 0.600"),
        ({"mean_auc_lower_bound": 0.5}, [], LOADED, "refused", "bound 0.500 (required: above 0.5)"),
        ({"mean_auc": math.nan}, [], LOADED, "refused", "is nan"),
        ({"mean_auc_lower_bound": None}, [], LOADED, "refused", "bound nan"),
        ({}, [], NOT_LOADED, "refused", "the golden answers differ by 0.2"),
        (
            {},
            [obstacle("images differ.")],
            LOADED,
            "not_comparable",
            "not comparable with the champion: images differ.",
        ),
        ({"mean_auc": 0.4}, [obstacle("images differ.")], LOADED, "refused", "is 0.400"),
    ],
)
def test_verdict(metrics: dict[str, Any], compared: list[Change], load: Load, verdict: str, reason: str) -> None:
    decided = decide(dataclasses.replace(METRICS, **metrics), "study", compared, load, GateSettings())
    assert decided.verdict == verdict
    assert reason in " ".join(decided.reasons)
    assert all(rule.split(":")[0] in OUTCOMES for rule in decided.reasons[:4])
    assert ("srs promote VERSION" in decided.reasons[-1]) == (verdict != "promoted" and load.ok)
    assert all(math.isfinite(number) for number in decided.numbers.values())


@pytest.mark.parametrize(
    ("rule", "compared", "verdict"),
    [
        ("better", [change(0.02)], "refused"),
        ("better", [change(0.05)], "promoted"),
        ("better", [change(0.05), change(-0.02, 0.03, "reference")], "promoted"),
        ("off", [change(-0.3)], "promoted"),
        ("off", [obstacle("images differ.")], "promoted"),
    ],
)
def test_other_rules_of_change(rule: Any, compared: list[Change], verdict: str) -> None:
    assert decide(METRICS, "study", compared, LOADED, GateSettings(change=rule)).verdict == verdict


LEAKING = {"split_unit": "tumour", "shared_patients": 12}
FEW = {"counts": dataclasses.replace(METRICS.counts, groups=2, members=6)}
FEW_GROUPS = {"counts": dataclasses.replace(METRICS.counts, groups=4, members=80)}


@pytest.mark.parametrize(
    ("metrics", "accept", "verdict", "reason"),
    [
        (LEAKING, "", "refused", "splits are by tumour (up to 12 patients are on two sides of a split)"),
        (LEAKING, "tumour_splits", "promoted", "Design (passed): splits are by tumour"),
        ({"split_unit": "tumour"}, "", "refused", "splits are by tumour [tumour_splits]"),
        (LEAKING, "few_members", "refused", "[tumour_splits]"),
        (
            FEW,
            "",
            "refused",
            "at least 5 groups, with 10 networks each, are required [few_members]",
        ),
        (FEW, "few_members", "promoted", "[few_members]; accepted by gate.accept"),
        (FEW_GROUPS, "", "refused", "80 networks in 4 groups"),
        ({**LEAKING, **FEW}, "", "refused", "[tumour_splits]; there are 6 networks"),
        ({**LEAKING, **FEW}, "few_members, tumour_splits", "promoted", ""),
    ],
)
def test_leaking_splits_and_few_members_are_refused_unless_named(
    metrics: dict[str, Any], accept: str, verdict: str, reason: str
) -> None:
    decided = decide(dataclasses.replace(METRICS, **metrics), "study", [], LOADED, GateSettings(accept=accept))
    assert decided.verdict == verdict
    assert reason in " ".join(decided.reasons)


def by_centre(*aucs: float, members: int = 10) -> Metrics:
    """Metrics of groups that each left out a centre, with these AUCs."""
    example = METRICS.groups["A"]
    groups = {
        name: dataclasses.replace(example, evaluation=dataclasses.replace(example.evaluation, auc=auc))
        for name, auc in zip("ABCDE", aucs, strict=False)
    }
    counts = dataclasses.replace(METRICS.counts, groups=len(groups), members=members * len(groups))
    centres = {name: f"C-{name.lower()}" for name in groups}
    fields = {"split_unit": "centre", "centres": centres, "groups": groups, "counts": counts}
    return dataclasses.replace(METRICS, worst_centre_auc=min(aucs), **fields)


@pytest.mark.parametrize(
    ("metrics", "settings", "verdict", "reason"),
    [
        (
            by_centre(0.9, 0.45, 0.8, 0.7),
            {},
            "refused",
            "Centre (FAILED): of 4 centres that were left out in turn, C-b (group",
        ),
        (by_centre(0.9, 0.5, 0.8, 0.7), {}, "promoted", "Centre (passed): of 4 centres"),
        (by_centre(0.9, 0.5, 0.8, 0.7), {"min_centre_auc": 0.6}, "refused", "the lowest AUC, 0.500 (required: 0.60)"),
        (by_centre(0.9, 0.45, 0.8, 0.7), {"min_centre_auc": 0.0}, "promoted", "C-b (group B) has the lowest AUC"),
        (by_centre(0.9, 0.8, 0.8, 0.7), {}, "promoted", "splits are by centre, and centres and networks are enough"),
        (
            by_centre(0.9, 0.8, 0.7),
            {},
            "refused",
            "3 centres; at least 4 centres, with 10 networks each",
        ),
        (
            by_centre(0.9, 0.8, 0.8, 0.7, members=9),
            {},
            "refused",
            "36 networks in 4 centres",
        ),
    ],
)
def test_the_worst_centre_decides_too(metrics: Metrics, settings: dict[str, float], verdict: str, reason: str) -> None:
    decided = decide(metrics, "study", [], LOADED, GateSettings(**settings))
    assert decided.verdict == verdict
    assert reason in " ".join(decided.reasons)
    assert decided.numbers["worst_centre_auc"] == metrics.worst_centre_auc


def test_without_splits_by_centre_there_is_no_rule_of_centres() -> None:
    decided = decide(METRICS, "study", [], LOADED, GateSettings(min_centre_auc=1.0))
    assert decided.verdict == "promoted"
    assert "Centre" not in " ".join(decided.reasons)


def test_a_bundle_that_the_serving_runtime_cannot_load_is_refused(tmp_path) -> None:
    folder = tmp_path / "bundle"
    make_bundle(folder)
    (folder / "ensemble.onnx").write_bytes(b"no graph")
    load = check_load(folder, tmp_path / "absent.keras", np.zeros((0, 151, 151), np.float32))
    assert not load.ok
    verdict = decide(METRICS, "study", [], load, GateSettings())
    assert verdict.verdict == "refused"
    assert "ensemble.onnx is missing or was changed" in verdict.reasons[-1]
