"""Decides when a member's training continues, restarts or stops (STUDY 4), as a pure state machine.

Every ``validate_every`` steps the engine makes one ``ValidationCheck`` and calls ``advance``:

    restart_accuracy not reached by restart_step              -> RESTART, with new random weights
        (or the attempt ended before)                            after max_restarts: STOP, flagged
    accuracy reached good_accuracy                            -> STOP
    no better check for patience_steps, or max_steps done     -> STOP
    otherwise                                                 -> GO_ON

The accepted weights are those of the best check over all attempts: highest accuracy, then lowest validation loss.
"""

import dataclasses
import enum
from typing import Any

from components.common.settings import TrainSettings


class Verdict(enum.Enum):
    """What the engine does after a validation check."""

    GO_ON = "go on"
    RESTART = "restart"
    STOP = "stop"


@dataclasses.dataclass(frozen=True, slots=True)
class ValidationCheck:
    """Loss and accuracy on the validation set; ``training_loss`` is the mean over the steps since the last check."""

    attempt: int
    step: int
    training_loss: float
    validation_loss: float
    validation_accuracy: float

    def beats(self, other: "ValidationCheck | None") -> bool:
        """Whether this check is better: more accurate, or equally accurate with a lower loss."""
        return other is None or self._rank > other._rank

    @property
    def _rank(self) -> tuple[float, float]:
        return self.validation_accuracy, -self.validation_loss


@dataclasses.dataclass(frozen=True, slots=True)
class Course:
    """A member's training so far.

    Parameters
    ----------
    checks
        Every check of every attempt, in order.
    best
        Best check over all attempts, whose weights would be accepted now.
    best_of_attempt
        Best check of the current attempt.
    flagged
        True where no attempt reached ``restart_accuracy`` and no restarts are left.
    """

    attempt: int = 1
    step: int = 0
    checks: tuple[ValidationCheck, ...] = ()
    best: ValidationCheck | None = None
    best_of_attempt: ValidationCheck | None = None
    flagged: bool = False

    @property
    def restarts(self) -> int:
        """Number of restarts so far."""
        return self.attempt - 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Course":
        """A course written by ``to_dict``."""
        fields = {**fields, "checks": tuple(ValidationCheck(**check) for check in fields["checks"])}
        for name in ("best", "best_of_attempt"):
            fields[name] = ValidationCheck(**fields[name]) if fields[name] else None
        return cls(**fields)


def steps_to_next_check(course: Course, settings: TrainSettings) -> int:
    """Steps to train before the next check; the last interval of an attempt may be shorter."""
    return min(settings.validate_every, settings.max_steps - course.step)


def advance(course: Course, check: ValidationCheck, settings: TrainSettings) -> tuple[Course, Verdict]:
    """The course after ``check``, and what the engine does next."""
    course = dataclasses.replace(
        course,
        step=check.step,
        checks=(*course.checks, check),
        best=check if check.beats(course.best) else course.best,
        best_of_attempt=check if check.beats(course.best_of_attempt) else course.best_of_attempt,
    )
    leader = course.best_of_attempt
    assert leader is not None
    over = check.step >= settings.max_steps or check.step - leader.step >= settings.patience_steps
    if leader.validation_accuracy < settings.restart_accuracy and (over or check.step >= settings.restart_step):
        if course.restarts < settings.max_restarts:
            return dataclasses.replace(
                course, attempt=course.attempt + 1, step=0, best_of_attempt=None
            ), Verdict.RESTART
        return dataclasses.replace(course, flagged=True), Verdict.STOP
    if over or check.validation_accuracy >= settings.good_accuracy:
        return course, Verdict.STOP
    return course, Verdict.GO_ON
