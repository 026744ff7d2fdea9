"""Centres that cohort and development share: what the development's run logged of them, and what the page says."""

import dataclasses
import json

import pytest

from components.common import tracking_store
from components.common.artifacts.validation_metrics import Overlap
from components.promote import registry
from components.validate.centre_words import centre_note, centre_warning, comparable
from components.validate.centres import (
    LOGGED,
    NO_CENTRE,
    NOT_LOGGED,
    DevelopmentCentres,
    centre_overlap,
    development_centres,
    read_centres,
)
from tests.components.validate.made import make_cohort, make_scores
from tests.components.validate.test_report import made, text_of

A, B = "C-aaaaaaaaaa", "C-bbbbbbbbbb"  # the centres of ``make_table``
CHECKED = Overlap(True, True, "", "refuse", 0, 0)


def overlap_of(known: DevelopmentCentres, ensemble: str = "study", patients: Overlap = CHECKED, cohort=None):
    cohort = cohort or make_cohort()
    rows = make_scores(cohort.tumours)
    return centre_overlap(known, ensemble, patients, rows, cohort.tumours, primary="mean", cut_off=0.5)


def left_out(**centres: str) -> DevelopmentCentres:
    return DevelopmentCentres(centres, frozenset(centres.values()))


def validation_of(found):
    cohort = make_cohort()
    return made(cohort, make_scores(cohort.tumours), centre_overlap=found)


def test_the_study_ensemble_has_seen_every_centre_that_a_group_left_out():
    found = overlap_of(left_out(A=A, B="C-cccccccccc"))
    assert (found.checked, found.by_centre) == (True, True)
    assert (found.developed, found.held_out, found.not_listed) == ((A,), (), (B,))
    own = make_cohort().tumours["centre"] == A
    assert found.tumours == own.sum()
    assert {one.category: one.responders + one.non_responders for one in found.performance} == {
        "of the development": own.sum(),
        "not known": (~own).sum(),
    }


def test_the_ensemble_of_a_group_has_not_seen_the_centre_that_it_left_out():
    found = overlap_of(left_out(A=A, B=B), "A")
    assert (found.developed, found.held_out, found.not_listed) == ((B,), (A,), ())
    assert "have seen no tumour of C-aaaaaaaaaa" in centre_note(validation_of(found).metrics)


@pytest.mark.parametrize(
    ("known", "patients", "centre", "reason"),
    [
        (DevelopmentCentres(), CHECKED, A, NOT_LOGGED),
        (left_out(A=A), Overlap(False, True, "made with another key", "refuse", 0, 0), A, "made with another key"),
        (left_out(A=A), CHECKED, None, NO_CENTRE),
    ],
)
def test_what_could_not_be_checked_has_its_reason(known, patients, centre, reason):
    cohort = make_cohort()
    cohort.tumours["centre"] = centre
    found = overlap_of(known, patients=patients, cohort=cohort)
    assert (found.checked, found.reason, found.developed) == (False, reason, ())
    metrics = validation_of(found).metrics
    assert reason in centre_note(metrics)
    assert reason in comparable(metrics)
    assert centre_warning(metrics) == ""


@pytest.mark.parametrize(
    ("known", "ensemble", "words"),
    [
        (left_out(A=A, B=B), "study", "this page's is for centres that the model was developed on"),
        (left_out(A=A), "study", "this page's mixes centres that the model was developed on with others"),
        (left_out(A="C-cccccccccc"), "study", "this page's is for centres of which none is known"),
    ],
)
def test_the_page_compares_only_what_may_be_compared(tmp_path, known, ensemble, words):
    cohort, validation = make_cohort(), validation_of(overlap_of(known, ensemble))
    page = " ".join(text_of(tmp_path, cohort, validation).split())
    assert f"one for centres that its networks had not seen; {words}" in page
    warned = "Warning. The model was developed on tumours of" in page
    assert warned == (A in known.evaluated)
    assert ("It is not known whether the model was developed" in page) == (B not in known.evaluated)


def test_a_development_by_patient_is_no_estimate_for_new_centres():
    found = overlap_of(DevelopmentCentres({}, frozenset({A, B})))
    assert not found.by_centre
    assert "for patients of the centres of its own cohort; this page's is for centres that" in comparable(
        validation_of(found).metrics
    )


def test_a_validation_of_an_earlier_release_says_nothing_of_centres():
    metrics = validation_of(None).metrics
    assert (centre_warning(metrics), centre_note(metrics)) == ("", "")
    assert comparable(metrics)


def test_centres_are_read_from_what_splits_by_centre_and_by_patient_log():
    rows = [{"covariate": "Centre", "category": A}, {"covariate": "Sex", "category": "f"}]
    by_centre = read_centres({"centres": {"A": B}, "clinical": {"subgroups": rows}})
    assert (by_centre.left_out, by_centre.evaluated) == ({"A": B}, {A, B})
    assert read_centres({"clinical": {"subgroups": rows}}).evaluated == {A}
    assert read_centres({"clinical": None}) == DevelopmentCentres()
    with pytest.raises(ValueError, match="not the metrics"):
        read_centres([])


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    tracking_store.prepare_store()
    return tracking_store.client()


def test_a_groups_version_finds_the_metrics_of_its_runs_parent(store, tmp_path):
    experiment = tracking_store.experiment_id("srs")
    parent = store.create_run(experiment).info.run_id
    group = store.create_run(experiment, tags={"srs.parent": parent}).info.run_id
    registry_tags: dict[str, str] = {}
    for run_id, digest in ((parent, "d1"), (group, "d2")):
        registry.register("m", f"runs:/{run_id}/x", run_id, digest, registry_tags, "card")
    assert development_centres("m", "2") == DevelopmentCentres(), "nothing was logged"
    file = tmp_path / LOGGED.rpartition("/")[2]
    file.write_text(json.dumps({"centres": {"A": A}}))
    store.log_artifact(parent, str(file), LOGGED.partition("/")[0])
    assert development_centres("m", "1") == development_centres("m", "2") == left_out(A=A)


def test_metrics_with_centres_are_read_back(tmp_path):
    validation = validation_of(overlap_of(left_out(A=A)))
    validation.write(tmp_path)
    assert type(validation).read(tmp_path).metrics == validation.metrics
    assert dataclasses.replace(validation.metrics, centre_overlap=None) != validation.metrics
