"""Exceptions become error replies, and keep nothing of the request in memory."""

import gc
import weakref

import pytest

from components.common.errors import InputError
from serving.errors import problem_of


class Body(bytearray):
    """A body that says when it is gone."""


@pytest.mark.parametrize("kind", [InputError, RuntimeError])
def test_a_refused_body_is_freed_at_once(kind):
    """Not when cycles are collected next, before which others are held as well."""
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
        kept = []  # as a task keeps the exception that ended it
        try:
            refuse()
        except kind as error:
            kept.append(error)
            problem_of(error)
        assert refs[0]() is None
        assert kept[0].__context__.__traceback__ is None
    finally:
        gc.enable()
