"""The summary page of preprocessing, and the form of each of its facts, against which the audit checks the page."""

import re
from collections.abc import Mapping
from typing import Any

from components.common.artifacts.dataset import Dataset, Exclusion, Flow
from components.common.steps import summary_page
from components.imaging.reasons import WARNINGS
from components.preprocess.distinct import EVIDENCE_KINDS
from components.preprocess.exclusions import REASONS, UNKNOWN_REASON, UNKNOWN_WARNING
from components.preprocess.flow_diagram import flow_svg

#: A count in a page or a log line.
COUNT = r"\d{1,6}"
_APART = "|".join(map(re.escape, EVIDENCE_KINDS))
_WARNED = f"{COUNT}: (?:{'|'.join(map(re.escape, [*WARNINGS.values(), UNKNOWN_WARNING]))})"
#: The form of each fact.
FACTS: Mapping[str, str] = {
    "tumours listed": f"{COUNT} of {COUNT} patients",
    "used": f"{COUNT} of {COUNT} patients",
    "responders / non-responders": f"{COUNT} / {COUNT}",
    "patients distinguished by": f"(?:{_APART})(?:, (?:{_APART}))*",
    "used with a warning": f"none|{_WARNED}(?:; {_WARNED})*",
    "GTVs without a row": COUNT,
    "image definition": r"version \d{1,3}",
    "fingerprint": "[0-9a-f]{12}",
}


def facts_of(dataset: Dataset, cohort_fingerprint: str) -> dict[str, Any]:
    """The facts of the page."""
    flow = dataset.flow
    positives = int(dataset.tumours.label.sum())
    return {
        "tumours listed": f"{flow.listed} of {flow.listed_patients} patients",
        "used": f"{flow.used} of {flow.used_patients} patients",
        "responders / non-responders": f"{flow.used - positives} / {positives}",
        "patients distinguished by": ", ".join(dataset.distinguished_by),
        "used with a warning": "; ".join(f"{line.tumours}: {line.reason}" for line in flow.warnings) or "none",
        "GTVs without a row": flow.unlisted_gtvs,
        "image definition": f"version {dataset.image_definition['version']}",
        "fingerprint": cohort_fingerprint[:12],
    }


def page_of(facts: Mapping[str, Any], flow: Flow, *, synthetic: bool) -> str:
    """The page: its facts and the diagram of the flow."""
    return summary_page("Cohort", facts, figures=[flow_svg(flow)], synthetic=synthetic)


def example_page() -> str:
    """A page with every element that a page can have, from which the audit learns the fixed markup."""
    lines = [Exclusion(code, reason, 1) for code, reason in REASONS.items()]
    flow = Flow(len(lines) + 1, 1, (*lines, Exclusion("", UNKNOWN_REASON, 1)), 0, 0)
    return page_of(dict.fromkeys(FACTS, ""), flow, synthetic=True)
