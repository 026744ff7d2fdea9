"""Votes, means, spread and calls are the same in evaluation, predictor and the MLflow model."""

import numpy as np
import pytest

from components.model.scores import calls, combine, spread, votes

NAN = float("nan")


def test_a_probability_of_one_half_is_not_a_vote():
    assert votes([0.5, 0.5000001, 0.0, 1.0]).tolist() == [0, 1, 0, 1]


def test_scores_of_members_along_either_axis():
    members = np.array([[0.2, 0.6, 0.7], [0.9, 0.1, 0.3]])
    np.testing.assert_allclose(combine(members, "mean", axis=1), [0.5, 1.3 / 3])
    np.testing.assert_allclose(combine(members, "vote", axis=1), [2 / 3, 1 / 3])
    np.testing.assert_allclose(combine(members.T, "vote"), [2 / 3, 1 / 3])
    np.testing.assert_allclose(spread(members.T), members.std(axis=1))


def test_a_member_with_nan_does_not_count():
    members = [[0.8, NAN], [NAN, 0.4], [0.6, 0.9]]
    np.testing.assert_allclose(combine(members, "mean"), [0.7, 0.65])
    np.testing.assert_allclose(combine(members, "vote"), [1.0, 0.5])
    np.testing.assert_allclose(spread(members), [0.1, 0.25])
    assert np.isnan(votes([NAN])).all()


@pytest.mark.parametrize(("score", "cut_off", "called"), [(0.5, 0.5, False), (0.6, 0.5, True), (0.4, 0.3, True)])
def test_a_score_equal_to_the_cut_off_is_not_called(score, cut_off, called):
    assert bool(calls(score, cut_off)) is called
