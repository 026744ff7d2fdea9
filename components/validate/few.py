"""What is said of a validation on too few tumours of a class to judge a model by, and the tag that says so too."""

from collections.abc import Mapping

from components.common.artifacts.validation_metrics import CohortCounts
from components.common.counted import counted
from components.common.mlflow_client import client
from components.promote.validations import ValidatedOn
from components.stats.subgroups import LEAST_OF_CLASS

#: Name of a version's tag on a validation of too few tumours; the id of the validation's run follows, so that the tag
#: of a validation that was replaced is not taken for its successor's. The value is its tumours by class.
TAG = "srs.validation_few."


def is_few(counts: CohortCounts) -> bool:
    """Whether a class has fewer than ``LEAST_OF_CLASS`` tumours, with which a subgroup has no AUC either."""
    return min(counts.responders, counts.non_responders) < LEAST_OF_CLASS


def by_class(counts: CohortCounts) -> str:
    """The tumours of each class in words."""
    return f"{counted(counts.responders, 'responder')} and {counted(counts.non_responders, 'non-responder')}"


def few_warning(counts: CohortCounts) -> str:
    """What a reader must know where there are too few tumours to judge the model; "" where there are enough."""
    if not is_few(counts):
        return ""
    return (
        f"There are too few tumours to judge the model: {by_class(counts)}, and at least {LEAST_OF_CLASS} of each are "
        "needed. Its AUC, sensitivity and specificity here may be far from those in other tumours of the same kind."
    )


def mark_few(model_name: str, version: str, run_id: str, counts: CohortCounts) -> None:
    """Tags a version where the validation of this run has too few tumours."""
    if is_few(counts):
        client().set_model_version_tag(model_name, version, f"{TAG}{run_id}", by_class(counts))


def few_in(tags: Mapping[str, str], one: ValidatedOn) -> str:
    """Why a validation among a version's tags has too few tumours to judge by; "" where it has enough.

    Of validations of earlier releases, whose classes are not known, those are found that cannot have enough of both.
    """
    least = 2 * LEAST_OF_CLASS
    return tags.get(f"{TAG}{one.run_id}", "") or (f"fewer than {least} tumours" if one.tumours < least else "")
