"""Exceptions become error replies, and hold nothing of the request in memory."""

import gc
import weakref

import pytest

from components.common.errors import InputError, SrsError
from serving.errors import REMEDIES, problem_of


class Body(bytearray):
    """A body that records when it is freed."""


@pytest.mark.parametrize("error", [RuntimeError("P-7"), SrsError("BUNDLE_DAMAGED", "P-7", "P-7")])
def test_a_failure_of_the_server_says_whom_to_ask_and_nothing_of_the_request(error):
    problem = problem_of(error)
    assert (problem.status, problem.hint) == (500, REMEDIES[500])
    assert "P-7" not in str(problem)


@pytest.mark.parametrize("kind", [InputError, RuntimeError])
def test_a_refused_body_is_freed_at_once(kind):
    """Not only when cycles are next collected: until then other bodies would be held too."""
    refs = []

    def refuse():
        body = Body(10)
        refs.append(weakref.ref(body))
        try:
            raise ValueError(body[:1])
        except ValueError:
            raise kind("FORMAT", "words") from None

    gc.disable()
    try:
        references = []  # as a task keeps the exception that ended it
        try:
            refuse()
        except kind as error:
            references.append(error)
            problem_of(error)
        assert refs[0]() is None
        assert references[0].__context__.__traceback__ is None
    finally:
        gc.enable()
