"""Training facts of an invented member."""

from typing import Any

from components.common.artifacts.members import MemberFacts


def made_facts(**changes: Any) -> MemberFacts:
    """Facts of a member that was restarted once and accepted at step 20 with an accuracy of 0.75."""
    facts: dict[str, Any] = {"seed": 1, "restarts": 1, "flagged": False, "accepted_step": 20}
    facts |= {"validation_accuracy": 0.75, "seconds": 2.5, "key": "k" * 64, "reused": False}
    return MemberFacts(**{**facts, "determinism": "bitwise-cpu", **changes})
