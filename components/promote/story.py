"""A promotion told in one paragraph, for a clinician who reads neither the report nor the gate's rules."""

from dataclasses import dataclass

from components.common.artifacts.metrics import Metrics
from components.common.counted import counted
from components.model.manifest import STUDY
from components.promote.gate import Verdict

#: What the gate decided. Sentences that stay true, whatever version is in use later.
_DECISIONS = {
    "promoted": "It passed all rules of promotion and became the version in use.",
    "refused": "The gate did not promote it, since it failed at least one rule of promotion.",
    "not_comparable": "The gate did not promote it, since it could not be compared fairly with the version in use.",
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of the ensemble that is told of: its networks, and the tumours and patients that they were trained on."""

    members: int
    tumours: int
    patients: int


def story_of(verdict: Verdict, metrics: Metrics, version: str, sizes: Sizes) -> str:
    """The paragraph.

    Parameters
    ----------
    verdict
        The gate's decision on the version.
    metrics
        The evaluation's metrics.
    version
        Its number in the registry.
    sizes
        Its own.
    """
    study, group = metrics.study, "" if verdict.group == STUDY else verdict.group
    sentences = [
        f"Version {version} joins {counted(sizes.members, 'network')}{f' of group {group}' if group else ''}, trained "
        f"on the planning CT of {counted(sizes.tumours, 'brain metastasis', 'brain metastases')} in "
        f"{counted(sizes.patients, 'simulated patient' if metrics.synthetic else 'patient')}.",
        f"On tumours {'of centres ' if metrics.centres else ''}that they had not seen, ensembles of such networks gave "
        "the higher score to the non-responder in "
        f"{metrics.mean_auc:.0%} of pairs of a responder and a non-responder{_interval(metrics)}; "
        f"guessing reaches 50%.{_own(metrics, group)}{_worst(metrics)}",
        f"At the cut-off in use they recognised {_of(study.true_positive, study.false_negative)} non-responders and "
        f"{_of(study.true_negative, study.false_positive)} responders{_progression(metrics)}.",
        *_doubts(metrics),
        _DECISIONS[verdict.verdict],
        "All tumours are of one cohort: how well it works elsewhere is not known from this. It is research software, "
        "not a medical device, and must not guide treatment.",
    ]
    return " ".join(sentences)


def _doubts(metrics: Metrics) -> list[str]:
    """Why the figures may be too good: a leak, and how responders and non-responders were scanned."""
    doubts = []
    if metrics.split_unit == "tumour" and metrics.shared_patients:
        doubts.append(
            "Tumours of one patient were used both to train and to evaluate, so that these figures are too good."
        )
    scan = metrics.clinical.scan if metrics.clinical else ()
    if suspects := [fact.name.partition(",")[0].lower() for fact in scan if fact.associated or fact.explains]:
        doubts.append(
            "The networks may have learned to recognise how a tumour was scanned rather than how it will respond "
            f"(possible confounder: {', '.join(suspects)}; the report shows more)."
        )
    return doubts


def _interval(metrics: Metrics) -> str:
    limits = metrics.mean_auc_limits
    of_centres = " for these centres" if metrics.centres else ""
    return f" (95% interval{of_centres} {limits.ci_low:.0%} to {limits.ci_high:.0%})" if limits else ""


def _own(metrics: Metrics, group: str) -> str:
    """Of a single group: what its own ensemble, which is the version, achieved."""
    if not group:
        return ""
    own, where = metrics.groups[group].evaluation, "at the centre" if metrics.centres else "on the tumours"
    tumours = own.n_negative + own.n_positive
    return f" This version itself reached {own.auc:.0%} {where} that it had not seen ({tumours} tumours)."


def _worst(metrics: Metrics) -> str:
    """The centre at which it does worst, where centres were left out."""
    if not metrics.centres:
        return ""
    lowest = metrics.groups[metrics.worst_group].evaluation.auc
    return f" At the worst of {len(metrics.centres)} centres it was {lowest:.0%} of pairs."


def _of(hits: int, misses: int) -> str:
    return f"{hits} of {hits + misses}"


def _progression(metrics: Metrics) -> str:
    """The costly error: a tumour that progressed was called a responder."""
    calls = metrics.study.confusion_by_response
    if calls is None or calls.PD.called_responder + calls.PD.called_non_responder == 0:
        return ""
    progressed = calls.PD.called_responder + calls.PD.called_non_responder
    return (
        f"; of {counted(progressed, 'tumour')} that progressed, {calls.PD.called_responder} "
        f"{'was called a responder' if calls.PD.called_responder == 1 else 'were called responders'}"
    )


def decided_by_a_person(story: str, reason: str) -> str:
    """The paragraph of a version that a person made the one in use later; "" where it has none."""
    return f"{story} A person made it the version in use: {reason}" if story else ""
