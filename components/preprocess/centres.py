"""The centre that treated each patient. Outputs hold it as a pseudonym only.

A patient has one centre, so that a split by centre never divides a patient's tumours.
"""

from collections.abc import Iterable


def centres_of(rows: Iterable[tuple[int, str, str | None]]) -> tuple[dict[str, str], list[str]]:
    """The centre of each patient for whom any row names one, and the problems of patients with several.

    Parameters
    ----------
    rows
        Number, patient and centre of each row; the centre is None where it is unknown.
    """
    first: dict[str, tuple[int, str]] = {}
    problems = []
    for number, patient, centre in rows:
        if centre is None:
            continue
        row, known = first.setdefault(patient, (number, centre))
        if known != centre:
            problems.append(
                f"row {number}, centre: not that of row {row}, which is of the same patient. "
                "Give all rows of a patient one centre, or leave it empty"
            )
    return {patient: centre for patient, (_, centre) in first.items()}, problems
