"""A promotion told in one paragraph, for a clinician who reads neither the report nor the gate's rules."""

from components.common.artifacts.metrics import Metrics
from components.promote.gate import Verdict

#: What became of the version, by the gate's verdict.
_ENDINGS = {
    "promoted": "It passed all rules of promotion and is the version in use.",
    "refused": "It was not promoted, since it failed at least one rule of promotion.",
    "not_comparable": "It was not promoted, since it could not be compared fairly with the version in use.",
}


def story_of(verdict: Verdict, metrics: Metrics, version: str, members: int) -> str:
    """The paragraph.

    Parameters
    ----------
    verdict
        The gate's decision on the version.
    metrics
        The evaluation's metrics.
    version
        Its number in the registry.
    members
        Number of networks that it joins.
    """
    counts, study = metrics.counts, metrics.study
    sentences = [
        f"Version {version} joins {members} networks, trained on the planning CT of {counts.tumours} brain metastases "
        f"in {counts.patients} {'simulated ' if metrics.synthetic else ''}patients.",
        f"On tumours {'of centres ' if metrics.centres else ''}that they had not seen, ensembles of such networks gave "
        "the higher score to the non-responder in "
        f"{metrics.mean_auc:.0%} of pairs of a responder and a non-responder{_interval(metrics)}; "
        f"guessing reaches 50%.{_worst(metrics)}",
        f"At the cut-off in use they recognised {_of(study.true_positive, study.false_negative)} non-responders and "
        f"{_of(study.true_negative, study.false_positive)} responders{_progression(metrics)}.",
        *_doubts(metrics),
        _ENDINGS[verdict.verdict],
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
    return f" (95% interval {limits.ci_low:.0%} to {limits.ci_high:.0%})" if limits else ""


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
    return f"; of {progressed} tumours that progressed, {calls.PD.called_responder} were called responders"
