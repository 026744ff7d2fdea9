"""Exceptions become error replies, and hold nothing of the request in memory."""

import gc
import weakref

import pytest

from components.common.errors import InputError
from serving.errors import problem_of


class Body(bytearray):
    """A body that records when it is freed."""


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
