"""When a member's training goes on, starts again or ends (STUDY 4), as a pure state machine.

Every ``validate_every`` steps the engine takes one ``Look`` at the validation set and asks ``advance``:

    accuracy never reached restart_accuracy by restart_step   -> RESTART, with weights drawn anew
        (or the attempt stalled before)                          after max_restarts: STOP, flagged
    accuracy reached good_accuracy                            -> STOP
    no better look for patience_steps, or max_steps done      -> STOP
    otherwise                                                 -> GO_ON

The member accepted is the best look over all attempts: highest accuracy, then lowest validation loss.
"""

import dataclasses
import enum
from typing import Any

from components.common.settings import TrainSettings


class Verdict(enum.Enum):
    """What the engine does after a look."""

    GO_ON = "go on"
    RESTART = "restart"
    STOP = "stop"


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """One look at the validation set; ``training_loss`` is the mean over the steps since the last."""

    attempt: int
    step: int
    training_loss: float
    validation_loss: float
    validation_accuracy: float

    def beats(self, other: "Look | None") -> bool:
        """Whether this look is better: more accurate, or as accurate at a lower loss."""
        return other is None or self._rank > other._rank

    @property
    def _rank(self) -> tuple[float, float]:
        return self.validation_accuracy, -self.validation_loss


@dataclasses.dataclass(frozen=True, slots=True)
class Course:
    """A member's training so far.

    Parameters
    ----------
    looks
        Every look of every attempt, in order.
    best
        Best look over all attempts: the member that would be accepted now.
    best_of_attempt
        Best look of the attempt under way.
    flagged
        True where all restarts were used up and none reached ``restart_accuracy``.
    """

    attempt: int = 1
    step: int = 0
    looks: tuple[Look, ...] = ()
    best: Look | None = None
    best_of_attempt: Look | None = None
    flagged: bool = False

    @property
    def restarts(self) -> int:
        """New initialisations so far."""
        return self.attempt - 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON keeps them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Course":
        """A course written by ``to_dict``."""
        looks = tuple(Look(**look) for look in fields["looks"])
        bests = {name: Look(**fields[name]) if fields[name] else None for name in ("best", "best_of_attempt")}
        return cls(**{**fields, "looks": looks, **bests})


def steps_to_next_look(course: Course, settings: TrainSettings) -> int:
    """Steps to train before the next look; the last interval of an attempt may be shorter."""
    return min(settings.validate_every, settings.max_steps - course.step)


def advance(course: Course, look: Look, settings: TrainSettings) -> tuple[Course, Verdict]:
    """The course after ``look``, and what to do next."""
    course = dataclasses.replace(
        course,
        step=look.step,
        looks=(*course.looks, look),
        best=look if look.beats(course.best) else course.best,
        best_of_attempt=look if look.beats(course.best_of_attempt) else course.best_of_attempt,
    )
    leader = course.best_of_attempt
    assert leader is not None
    over = look.step >= settings.max_steps or look.step - leader.step >= settings.patience_steps
    if leader.validation_accuracy < settings.restart_accuracy and (over or look.step >= settings.restart_step):
        if course.restarts < settings.max_restarts:
            return dataclasses.replace(
                course, attempt=course.attempt + 1, step=0, best_of_attempt=None
            ), Verdict.RESTART
        return dataclasses.replace(course, flagged=True), Verdict.STOP
    if over or look.validation_accuracy >= settings.good_accuracy:
        return course, Verdict.STOP
    return course, Verdict.GO_ON
