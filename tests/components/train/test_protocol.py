import pytest

from components.common.settings import TrainSettings
from components.train.protocol import Course, ValidationCheck, Verdict, advance, steps_to_next_check

SETTINGS = TrainSettings(
    validate_every=10, restart_step=30, restart_accuracy=0.6, max_restarts=2, good_accuracy=0.9, patience_steps=40,
    max_steps=95,
)  # fmt: skip


def follow(accuracies, settings=SETTINGS, course=None, losses=None):
    """Feeds checks until the protocol stops or the accuracies run out."""
    course, verdict = course or Course(), Verdict.GO_ON
    for position, accuracy in enumerate(accuracies):
        loss = losses[position] if losses else 1.0
        step = course.step + steps_to_next_check(course, settings)
        course, verdict = advance(course, ValidationCheck(course.attempt, step, 0.5, loss, accuracy), settings)
        if verdict is not Verdict.GO_ON:
            break
    return course, verdict


def test_continues_while_nothing_is_decided():
    course, verdict = follow([0.5, 0.55])
    assert (verdict, course.step, course.attempt) == (Verdict.GO_ON, 20, 1)


def test_restarts_when_accuracy_is_low_at_the_deadline():
    course, verdict = follow([0.5, 0.55, 0.59, 0.9])
    assert verdict is Verdict.RESTART
    assert (course.attempt, course.step, course.restarts) == (2, 0, 1)
    assert course.best_of_attempt is None
    assert course.best.validation_accuracy == 0.59


def test_one_good_check_before_the_deadline_is_enough():
    course, verdict = follow([0.5, 0.6, 0.5, 0.5])
    assert (verdict, course.step) == (Verdict.GO_ON, 40)


def test_an_attempt_that_stalls_low_before_the_deadline_restarts():
    settings = TrainSettings(restart_step=90, patience_steps=20, validate_every=10, restart_accuracy=0.6)
    assert follow([0.5, 0.4, 0.4], settings)[1] is Verdict.RESTART


def test_stops_at_good_accuracy():
    course, verdict = follow([0.7, 0.95, 0.99])
    assert (verdict, course.step, course.flagged) == (Verdict.STOP, 20, False)


def test_stops_after_patience_without_improvement():
    course, verdict = follow([0.7, 0.8, 0.7, 0.8, 0.8, 0.8, 0.8])
    assert (verdict, course.step, course.best.step) == (Verdict.STOP, 60, 20)


def test_a_lower_loss_at_the_same_accuracy_is_an_improvement():
    course, verdict = follow([0.8] * 6, losses=[1.0, 0.9, 0.8, 0.7, 0.6, 0.5])
    assert (verdict, course.best.step) == (Verdict.GO_ON, 60)


def test_stops_at_the_last_step_with_a_short_last_interval():
    course, verdict = follow([0.61, 0.62, 0.63, 0.64, 0.65, 0.66, 0.67, 0.68, 0.69, 0.7])
    assert (verdict, course.step) == (Verdict.STOP, 95)


def test_accepts_the_best_of_all_attempts():
    course, _ = follow([0.5, 0.59, 0.5])
    course, verdict = follow([0.5, 0.6, 0.5, 0.5, 0.5, 0.5], course=course)
    assert verdict is Verdict.STOP
    assert (course.best.attempt, course.best.validation_accuracy, course.flagged) == (2, 0.6, False)


def test_exhausted_restarts_accept_the_best_check_and_flag_it():
    course, verdict = follow([0.5, 0.59, 0.5])
    for _ in range(2):
        assert verdict is Verdict.RESTART
        course, verdict = follow([0.5, 0.5, 0.5], course=course)
    assert verdict is Verdict.STOP
    assert (course.flagged, course.restarts, course.best.attempt, course.best.step) == (True, 2, 1, 20)
    assert [check.attempt for check in course.checks] == [1] * 3 + [2] * 3 + [3] * 3


def test_a_course_survives_json():
    import json

    course, _ = follow([0.5, 0.55, 0.59])
    assert Course.from_dict(json.loads(json.dumps(course.to_dict()))) == course


@pytest.mark.parametrize(
    ("accuracy", "loss", "beats"), [(0.8, 9, True), (0.7, 0.9, True), (0.7, 1, False), (0.6, 0, False)]
)
def test_order_of_checks(accuracy, loss, beats):
    assert ValidationCheck(1, 2, 0, loss, accuracy).beats(ValidationCheck(1, 1, 0, 1, 0.7)) is beats
