"""Contradictions between optional columns of a row and those that they refine, by the column to which each belongs."""

#: Columns that are compared by ``later_contradictions``, apart from those of the response, and by
#: ``therapy_contradictions``.
LATER = frozenset({"follow_up_days", "later_response", "later_follow_up_days", "pseudoprogression"})
THERAPY = frozenset({"systemic_therapy", "systemic_therapy_kind"})
#: Responses in which a lesion has shrunk, so that there is no growth to be judged.
SHRUNK = ("CR", "PR")


def later_contradictions(
    response: str | None,
    later_response: str | None,
    days: int | None,
    later_days: int | None,
    pseudoprogression: str | None,
) -> dict[str, str]:
    """Contradictions between the follow-up and what was found later.

    Parameters
    ----------
    response, later_response
        Response at the follow-up, and at a later one; None where unknown.
    days, later_days
        Days from SRS to these follow-ups; None where unknown.
    pseudoprogression
        ``yes`` where growth was later judged to be an effect of the radiation.
    """
    wrong = {}
    if days is not None and later_days is not None and later_days <= days:
        wrong["later_follow_up_days"] = "not above follow_up_days: it belongs to a later follow-up"
    if pseudoprogression == "yes" and response in SHRUNK and later_response in (None, *SHRUNK):
        wrong["pseudoprogression"] = (
            "yes, but the lesion has only shrunk: give a later_response of SD or PD, or correct one of them"
        )
    return wrong


def therapy_contradictions(therapy: str | None, kind: str | None) -> dict[str, str]:
    """Contradictions between whether systemic therapy was given, and its kind.

    The kind needs a yes or no beside it: alone, ``none`` could also mean that nothing is known.

    Parameters
    ----------
    therapy
        ``yes`` or ``no``; None where unknown.
    kind
        One of ``columns.THERAPY_KINDS``; None where unknown.
    """
    expected = "no" if kind == "none" else "yes"
    if kind is None or therapy == expected:
        return {}
    found = "empty" if therapy is None else therapy
    return {
        "systemic_therapy_kind": f"systemic_therapy is {found}: write {expected} there, or correct or empty this cell"
    }
