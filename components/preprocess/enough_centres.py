"""Refuses splits by centre, before any image is read, where the cohort table shows that there are too few centres."""

from collections import Counter
from collections.abc import Sequence

from components.common.centre_rule import centres_left_out
from components.common.settings import StudySettings
from components.preprocess.centres import centres_of
from components.preprocess.exclusions import table_exclusion
from components.preprocess.recist import label_of
from components.preprocess.table import Row


def require_centres(rows: Sequence[Row], study: StudySettings) -> None:
    """Refuses a table whose centres cannot suffice, even if the images of all its tumours can be used.

    Parameters
    ----------
    rows
        All rows of the cohort table.
    study
        Settings of the study, of which splits and exclusions count.

    Raises
    ------
    InputError
        ``TOO_FEW_CENTRES``, if splits are by centre.
    """
    if study.split.split_unit != "centre":
        return
    centre_of, _ = centres_of((row.number, row.patient_id, row.centre) for row in rows)
    counts: Counter[tuple[str | None, int]] = Counter()
    for row in rows:
        if row.outcome and not table_exclusion(row, study.preprocess):
            counts[centre_of.get(row.patient_id), label_of(row.outcome)] += 1
    # a patient without a centre may turn out to be one who has a centre
    found_later = [counts[None, label] if study.preprocess.one_patient == "merge" else 0 for label in (0, 1)]
    sizes = {
        centre: (counts[centre, 0] + found_later[0], counts[centre, 1] + found_later[1])
        for centre in set(centre_of.values())
    }
    centres_left_out(sizes, study.split)
