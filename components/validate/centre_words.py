"""What a validation says of the centres that its cohort shares with the model's development."""

from components.common.artifacts.validation_metrics import CentreOverlap, ValidationMetrics
from components.common.counted import counted


def centre_warning(metrics: ValidationMetrics) -> str:
    """What a reader must know where the model was developed on centres of the cohort; "" where none is known."""
    found = metrics.centre_overlap
    if found is None or not found.developed:
        return ""
    centres = counted(len(found.developed + found.held_out + found.not_listed), "centre")
    evaluated = counted(metrics.performance.counts.tumours, "tumour")
    return (
        f"The model was developed on tumours of {len(found.developed)} of this cohort's {centres} "
        f"({', '.join(found.developed)}; {found.tumours} of {evaluated}). At new centres its performance may be lower "
        "than at these."
    )


def centre_note(metrics: ValidationMetrics) -> str:
    """What else is known of the cohort's centres, or why nothing is; "" for a validation of an earlier release."""
    found = metrics.centre_overlap
    if found is None:
        return ""
    if not found.checked:
        return f"It could not be checked whether centres of this cohort had a part in the development: {found.reason}."
    parts = []
    if found.held_out:
        parts.append(
            f"The networks of this ensemble have seen no tumour of {found.held_out[0]}, which its group left out."
        )
    if found.not_listed:
        parts.append(
            f"It is not known whether the model was developed on tumours of {', '.join(found.not_listed)}: the run of "
            "its development logged only the centres that it evaluated, and a centre that the two tables spell "
            "differently has another pseudonym."
        )
    return " ".join(parts)


def comparable(metrics: ValidationMetrics) -> str:
    """Of which centres the estimate of the development is, and of which this validation's."""
    found = metrics.centre_overlap
    if found is None:
        return "Of which centres they are cannot be said."
    theirs = (
        "centres that its networks had not seen" if found.by_centre else "patients of the centres of its own cohort"
    )
    if not found.by_centre and not found.checked:
        theirs = "patients of its own cohort"
    return f"The development estimate is one for {theirs}; {_ours(found)}."


def _ours(found: CentreOverlap) -> str:
    """Of which centres this validation's estimate is."""
    if not found.checked:
        return f"whether this cohort's centres were new to the networks is not known ({found.reason})"
    if found.developed and not found.not_listed + found.held_out:
        return "this page's is for centres that the model was developed on"
    if found.developed:
        return "this page's mixes centres that the model was developed on with others"
    if found.not_listed:
        return "this page's is for centres of which none is known to be of the development"
    return "this page's is for the centre that the networks of this ensemble had not seen either"
