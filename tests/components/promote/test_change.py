"""The comparison of two training procedures on the same tumours."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from components.common.settings import GateSettings
from components.model.manifest import Manifest
from components.promote.change import Change, Side, Trial, compare
from components.stats.paired import paired_test
from tests.components.model.bundles import make_bundle

SIDE = Side("image-1", "srs-response", "key-1", False, {"A": frozenset({"patient-90"}), "B": frozenset({"patient-91"})})


def trial(name: str = "A", responders: int = 12, non_responders: int = 11, worse: float = 0.0, seed: int = 1) -> Trial:
    rng = np.random.default_rng(seed)
    labels = np.array([0] * responders + [1] * non_responders)
    other = labels + rng.normal(0, 0.5, len(labels))
    challenger = other + rng.normal(0, 0.05, len(labels)) - worse * labels
    numbers = range(len(labels))
    return Trial([f"{name}-{i}" for i in numbers], labels, [f"patient-{i}" for i in numbers], challenger, other, name)


def compared(challenger: Side = SIDE, other: Side = SIDE, **trials: Trial) -> Change:
    return compare(challenger, other, trials or {"A": trial()}, GateSettings(), against="champion")


@pytest.mark.parametrize(
    ("fields", "obstacle"),
    [
        ({"image_digest": "image-2"}, "another image definition"),
        ({"study": "another"}, "another study"),
        ({"pseudonym_key": "key-2"}, "its pseudonyms were made with another key"),
        ({"synthetic": True}, "it is SYNTHETIC"),
    ],
)
def test_is_not_comparable(fields: dict[str, Any], obstacle: str) -> None:
    result = compared(other=dataclasses.replace(SIDE, **fields))
    assert len(result.obstacles) == 1
    assert obstacle in result.obstacles[0]


def test_a_bundle_that_does_not_name_its_key_is_compared() -> None:
    assert compared(other=dataclasses.replace(SIDE, pseudonym_key="")).obstacles == ()


def test_a_patient_that_either_side_has_seen_in_the_group_is_dropped() -> None:
    saw = dataclasses.replace(SIDE, seen={"A": frozenset({"patient-0", "patient-99"}), "B": frozenset({"patient-1"})})
    for sides in ({"other": saw}, {"challenger": saw}):
        result = compared(**sides)
        assert (result.obstacles, result.responders, result.non_responders) == ((), 11, 11)


def test_a_group_with_too_few_tumours_is_left_out_and_none_left_is_an_obstacle() -> None:
    few = trial("B", 7, 11)
    result = compared(A=trial("A"), B=few)
    assert (result.groups, result.responders) == (("A",), 12)
    assert "at least 8 tumours of patients that neither has seen" in compared(B=few).obstacles[0]
    assert "(the largest smaller class has 7)" in compared(B=few).obstacles[0]


def test_one_group_agrees_with_the_paired_test_clustered_by_patient() -> None:
    one = trial()
    result, expected = compared(A=one), paired_test(one.labels, one.challenger, one.other, patients=one.patients)
    assert result.difference == pytest.approx(expected.difference)
    assert result.se == pytest.approx(1.15 * expected.se, rel=0.15)  # DeLong's variance against a bootstrap's


def test_the_mean_over_groups_counts_each_tumour_once() -> None:
    same = trial("A", seed=1)
    result = compared(A=same, B=same)
    assert (result.responders, result.non_responders) == (12, 11)
    assert result.difference == pytest.approx(compared(A=same).difference)
    assert result.se == pytest.approx(compared(A=same).se)  # the same patients: no gain from a second group
    apart = dataclasses.replace(trial("B", seed=2), patients=[f"other-{i}" for i in range(23)])
    assert compared(A=same, B=apart).responders == 24


def test_a_worse_challenger_has_a_negative_difference() -> None:
    assert compared(A=trial(worse=1.5)).difference < -0.3


def test_equal_scores_are_no_loss() -> None:
    same = trial()
    result = compared(A=dataclasses.replace(same, challenger=same.other))
    assert (result.difference, result.se, result.lower_bound) == (0.0, 0.0, 0.0)


def test_bound_and_power_use_the_one_sided_95_percent_quantile() -> None:
    # Normal quantile 1.6449 and, for the power, Phi(2 - 1.6449) = 0.6388, from any table.
    change = Change("champion", (), ("A",), 0.01, 0.05, 12, 11)
    assert change.lower_bound == pytest.approx(0.01 - 1.6449 * 0.05, abs=1e-5)
    assert change.power(0.10) == pytest.approx(0.6388, abs=1e-3)


def test_the_group_that_has_seen_fewest_patients_predicts() -> None:
    seen = {"A": frozenset({"p1", "p2"}), "B": frozenset({"p1"}), "C": frozenset({"p2"})}
    side = dataclasses.replace(SIDE, seen=seen)
    assert side.least_seen(["p1", "p2"], "C") == "C"  # its own, since B has seen as many
    assert side.least_seen(["p1", "p2"], "A") == "B"
    assert side.least_seen(["p2"], "A") == "B"
    assert side.least_seen(["p3"], "A") == "A"


def test_tumours_that_the_group_that_predicts_has_seen_are_dropped() -> None:
    other = dataclasses.replace(SIDE, seen={"A": frozenset(), "B": frozenset({"patient-0"})})
    assert compared(other=other, A=trial("A")).responders == 12
    assert compared(other=other, A=dataclasses.replace(trial("A"), other_group="B")).responders == 11


def test_reads_a_side_from_a_manifest(tmp_path) -> None:
    manifest = make_bundle(tmp_path / "bundle")
    side = Side.of(Manifest.read(tmp_path / "bundle"))
    assert side.seen == {"A": frozenset(manifest.seen_patients)}
    assert (side.study, side.synthetic) == ("srs-response", True)
