"""The splitting step refuses an ensemble that could not be served before anything is trained."""

import json

import pytest

from components.common.errors import BundleError
from components.split.step import run


def test_an_ensemble_that_could_not_be_served_is_refused_before_anything_is_trained():
    settings = json.dumps({"train": {"filters_1": 64, "dense_1": 4096}, "split": {"members": 999}})
    with pytest.raises(BundleError, match="at most 33,554,432 are allowed") as error:
        run("absent", settings, "experiment", "attempt", 25, "absent", "absent")
    assert error.value.code == "BUNDLE_TOO_LARGE"
    assert "fewer members" in error.value.hint
