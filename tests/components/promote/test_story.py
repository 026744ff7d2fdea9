"""The paragraph that tells a promotion."""

import dataclasses

import pytest

from components.common.artifacts.clinical_metrics import ScanFact
from components.common.artifacts.metrics import Calls, CallsByResponse
from components.promote.gate import Verdict
from components.promote.story import Sizes, decided_by_a_person, story_of
from tests.components.evaluate.golden_metrics import golden_metrics

NONE = Calls(0, 0)
STUDY_SIZES = Sizes(50, 110, 89)
CALLS = CallsByResponse(CR=Calls(2, 1), PR=Calls(9, 2), SD=Calls(4, 6), PD=Calls(3, 5))
METRICS = golden_metrics()
METRICS = dataclasses.replace(
    METRICS,
    synthetic=False,
    mean_auc=0.8214,
    study=dataclasses.replace(METRICS.study, confusion_by_response=CALLS, true_positive=11, false_negative=7),
)


def told(verdict: str = "promoted", *, what: str = "study", sizes: Sizes = STUDY_SIZES, **fields: object) -> str:
    metrics = dataclasses.replace(METRICS, **fields)
    return story_of(Verdict(verdict, (), what, {}), metrics, "7", sizes)


def test_names_size_performance_and_the_costly_error() -> None:
    story = told()
    assert "Version 7 joins 50 networks, trained on the planning CT of 110 brain metastases in 89 patients." in story
    assert "in 82% of pairs" in story
    assert "recognised 11 of 18 non-responders" in story
    assert "of 8 tumours that progressed, 3 were called responders" in story
    assert "not a medical device" in story


@pytest.mark.parametrize(
    ("verdict", "ending"),
    [("promoted", "became the version in use"), ("refused", "failed"), ("not_comparable", "not be compared fairly")],
)
def test_says_what_became_of_it(verdict: str, ending: str) -> None:
    assert ending in told(verdict)


def test_says_that_patients_were_simulated_or_on_two_sides() -> None:
    assert "simulated patients" in told(synthetic=True)
    assert "simulated" not in told()
    assert "these figures are too good" in told(split_unit="tumour", shared_patients=3)
    assert "too good" not in told(split_unit="tumour", shared_patients=0)


def test_names_the_facts_of_the_scan_that_the_networks_may_have_learned() -> None:
    facts = (
        ScanFact("Contrast agent", 0.001, associated=True, explains=False),
        ScanFact("Tube voltage, kV", 0.4, associated=False, explains=True),
        ScanFact("Kernel", 0.4, associated=False, explains=False),
    )
    for scan, said in ((facts, True), (facts[2:], False)):
        story = told(clinical=dataclasses.replace(METRICS.clinical, scan=scan))
        assert ("possible confounder: contrast agent, tube voltage;" in story) is said
        assert ("how a tumour was scanned" in story) is said
    assert "scanned" not in told(clinical=None)


def test_names_the_worst_of_several_centres() -> None:
    group = METRICS.groups["A"]
    worst = dataclasses.replace(group, evaluation=dataclasses.replace(group.evaluation, auc=0.41))
    story = told(groups={"A": group, "B": worst}, centres={"A": "C-a", "B": "C-b"}, split_unit="centre")
    assert "On tumours of centres that they had not seen" in story
    assert "At the worst of 2 centres it was 41% of pairs." in story
    assert "(95% interval for these centres " in story
    assert "centres" not in told()


def test_tells_of_a_single_group_what_its_own_ensemble_achieved() -> None:
    group = METRICS.groups["A"]
    bad = dataclasses.replace(group, evaluation=dataclasses.replace(group.evaluation, auc=0.12))
    fields = {"groups": {"A": group, "D": bad}, "what": "D", "sizes": Sizes(1, 76, 61)}
    story = told(**fields)
    assert "joins 1 network of group D, trained on the planning CT of 76 brain metastases in 61 patients." in story
    counted = group.evaluation.n_negative + group.evaluation.n_positive
    assert f"This version itself reached 12% on the tumours that it had not seen ({counted} tumours)." in story
    assert "reached 12% at the centre" in told(**fields, centres={"A": "C-a", "D": "C-d"}, split_unit="centre")
    assert "itself" not in told()


def test_a_decision_of_a_person_is_added_and_contradicts_nothing() -> None:
    story = decided_by_a_person(told("refused"), "seen by the board")
    assert "The gate did not promote it" in story
    assert story.endswith("A person made it the version in use: seen by the board")
    assert decided_by_a_person("", "seen by the board") == ""


def test_leaves_out_what_is_not_known() -> None:
    without = dataclasses.replace(METRICS.study, confusion_by_response=dataclasses.replace(CALLS, PD=NONE))
    assert "progressed" not in told(study=without)
    one = dataclasses.replace(METRICS.study, confusion_by_response=dataclasses.replace(CALLS, PD=Calls(1, 0)))
    assert "of 1 tumour that progressed, 1 was called a responder." in told(study=one)
    assert "interval" not in told(mean_auc_limits=None)
