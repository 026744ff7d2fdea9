"""Reasons for excluding a tumour: the study's rules in their order (STUDY 1), then technical problems."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from components.common.artifacts.dataset import Exclusion
from components.common.settings import PreprocessSettings
from components.imaging.reasons import REFUSALS, WARNINGS
from components.preprocess.table import Row

#: Code of a follow-up on the day of SRS. The study does not state this rule, since no cohort should need it: such an
#: image shows no response, and 0 is often typed for a value that is not known.
SAME_DAY = "SAME_DAY_FOLLOW_UP"
#: Rules that can be decided from the table alone, in the study's order.
TABLE_RULES: Mapping[str, Callable[[Row, PreprocessSettings], bool]] = {
    "NO_FOLLOW_UP": lambda row, s: row.follow_up_days is None or row.follow_up_days > s.follow_up_window_days,
    SAME_DAY: lambda row, _: row.follow_up_days == 0,
    "PRIMARY_BRAIN_CANCER": lambda row, _: row.primary_brain_cancer,
    "WHOLE_BRAIN_RADIOTHERAPY": lambda row, _: row.whole_brain_radiotherapy,
    "TOO_MANY_METASTASES": lambda row, s: row.n_brain_metastases > s.max_metastases,
    "SKULL_INFILTRATION": lambda row, _: row.skull_infiltration,
    "TOO_LARGE": lambda row, s: row.longest_diameter_mm is not None and row.longest_diameter_mm > s.max_diameter_mm,
    "TOO_SMALL": lambda row, s: row.longest_diameter_mm is not None and row.longest_diameter_mm < s.min_diameter_mm,
}

#: Meaning of each code, in the order of the flow; printed in reports and the flow diagram.
REASONS: Mapping[str, str] = {
    "NO_FOLLOW_UP": "no imaging follow-up within the window after SRS",
    SAME_DAY: "follow-up image on the day of SRS",
    "PRIMARY_BRAIN_CANCER": "primary brain cancer",
    "WHOLE_BRAIN_RADIOTHERAPY": "SRS combined with whole-brain radiotherapy",
    "TOO_MANY_METASTASES": "more brain metastases than the study allows",
    "SKULL_INFILTRATION": "metastasis infiltrates the skull",
    "TOO_LARGE": "longest diameter above the limit",
    "TOO_SMALL": "longest diameter below the limit",
    **REFUSALS,
}
#: Shown for a code without an entry above.
UNKNOWN_REASON = "could not be read"
#: Shown for a warning without an entry in ``WARNINGS``.
UNKNOWN_WARNING = "used with a warning"


def table_exclusion(row: Row, settings: PreprocessSettings) -> str:
    """Code of the first rule by which the table alone excludes a row, or ""."""
    return next((code for code, rule in TABLE_RULES.items() if rule(row, settings)), "")


def warning_lines(codes: Iterable[str]) -> tuple[Exclusion, ...]:
    """Lines for the warnings of all used tumours, in the order of ``WARNINGS``."""
    counts = Counter(codes)
    order = [code for code in WARNINGS if code in counts] + sorted(set(counts) - set(WARNINGS))
    return tuple(Exclusion(code, WARNINGS.get(code, UNKNOWN_WARNING), counts[code]) for code in order)


def flow_lines(codes: Iterable[str]) -> tuple[Exclusion, ...]:
    """The flow's lines for the codes of all excluded tumours: each rule that the study states, then the other codes."""
    counts: dict[str, int] = {}
    for code in codes:
        counts[code] = counts.get(code, 0) + 1
    order = [code for code in REASONS if code in counts or (code in TABLE_RULES and code != SAME_DAY)]
    order += sorted(set(counts) - set(REASONS))
    return tuple(Exclusion(code, REASONS.get(code, UNKNOWN_REASON), counts.get(code, 0)) for code in order)
