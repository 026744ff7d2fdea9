"""What is said of a validation on too few tumours of a class to judge a model by."""

from components.common.artifacts.validation_metrics import CohortCounts
from components.common.counted import counted
from components.promote.validations import ValidatedOn
from components.stats.subgroups import LEAST_OF_CLASS


def is_few(counts: CohortCounts | ValidatedOn) -> bool:
    """Whether a class has fewer than ``LEAST_OF_CLASS`` tumours, with which a subgroup has no AUC either."""
    return min(counts.responders, counts.non_responders) < LEAST_OF_CLASS


def by_class(counts: CohortCounts | ValidatedOn) -> str:
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
