import dataclasses
import itertools

import numpy as np
import pytest

from components.common.artifacts.members import Members
from components.common.artifacts.metrics import SizeMetrics
from components.common.errors import InputError
from components.evaluate import ensemble
from components.stats.roc import auc_score


def test_evaluation_rows_use_all_members_and_others_only_those_that_validated(study):
    dataset, splits, members = study
    table = ensemble.scores(dataset, splits, members)
    assert " ".join(table.columns) == "group tumour patient label role mean vote spread members"
    place = {tumour: i for i, tumour in enumerate(dataset.tumours["tumour"])}
    for row in table.sample(60, random_state=1).to_dict("records"):
        own = [m for m in members.members if m.split.group == row["group"]]
        if row["role"] == "evaluation":
            assert row["tumour"] in own[0].split.evaluation
            asked = own
        else:
            assert row["tumour"] not in own[0].split.evaluation
            asked = [m for m in own if row["tumour"] in m.split.validation]
        answers = np.array([m.probabilities[place[row["tumour"]]] for m in asked], dtype=float)
        assert row["members"] == len(asked) > 0
        assert row["mean"] == pytest.approx(answers.mean())
        assert row["vote"] == pytest.approx((answers > 0.5).mean())
        assert row["spread"] == pytest.approx(answers.std())


def test_tumours_that_nobody_validated_are_absent(study):
    dataset, splits, members = study
    table = ensemble.scores(dataset, splits, members)
    for group in splits.groups:
        own = splits.of_group(group)
        known = set(own[0].evaluation).union(*(split.validation for split in own))
        assert set(table[table["group"] == group]["tumour"]) == known


def test_no_tumour_that_trained_a_member_is_scored_by_it(study):
    # An out-of-bag answer must not change when a member changes its answers on its own training tumours.
    dataset, splits, members = study
    spoilt = []
    for member in members.members:
        training = dataset.tumours["tumour"].isin(member.split.training).to_numpy()
        spoilt.append(dataclasses.replace(member, probabilities=np.where(training, 1.0, member.probabilities)))
    spoilt = Members(tuple(spoilt), members.dataset_digest)
    assert ensemble.scores(dataset, splits, members).equals(ensemble.scores(dataset, splits, spoilt))


def test_refuses_missing_members_and_useless_answers(study):
    dataset, splits, members = study
    with pytest.raises(InputError, match="A-01: missing"):
        ensemble.scores(dataset, splits, Members(members.members[1:], members.dataset_digest))
    for answers in (np.full(110, np.nan, np.float32), np.zeros(3, np.float32), np.full(110, 1.5, np.float32)):
        first = dataclasses.replace(members.members[0], probabilities=answers)
        with pytest.raises(InputError, match="MEMBER_ANSWERS"):
            ensemble.scores(dataset, splits, Members((first, *members.members[1:]), members.dataset_digest))


def test_agreement_counts_pairs():
    rng = np.random.default_rng(0)
    answers = rng.random((5, 12))
    votes = answers > 0.5
    pairs = [np.mean(votes[a] == votes[b]) for a, b in itertools.combinations(range(5), 2)]
    assert ensemble.agreement(answers) == pytest.approx(np.mean(pairs))
    assert ensemble.agreement(answers[:1]) == 1.0


def test_auc_by_size_looks_at_every_subset():
    rng = np.random.default_rng(0)
    labels = np.array([0, 1] * 8)
    answers = rng.random((4, 16)) * 0.5 + 0.3 * labels
    sizes = ensemble.auc_by_size(labels, answers, "mean", rng)
    assert [(size.members, size.subsets) for size in sizes] == [(1, 4), (2, 6), (3, 4), (4, 1)]
    pairs = [auc_score(labels, answers[list(s)].mean(axis=0)) for s in itertools.combinations(range(4), 2)]
    assert sizes[1].mean_auc == pytest.approx(np.mean(pairs))
    assert sizes[3].min_auc == sizes[3].max_auc == sizes[3].mean_auc


def test_auc_by_size_draws_subsets_of_large_ensembles():
    labels = np.array([0, 1] * 6)
    sizes = ensemble.auc_by_size(labels, np.random.default_rng(0).random((30, 12)), "vote", np.random.default_rng(1))
    assert max(size.subsets for size in sizes) == ensemble.MOST_SUBSETS


def test_spread_of_errors_counts_pairs_of_a_wrong_and_a_right_call():
    labels, score, spread = [0, 0, 1, 1], [0.2, 0.7, 0.9, 0.4], [0.1, 0.3, 0.2, 0.2]
    # Wrong are the second (0.3) and the fourth (0.2), right the first (0.1) and the third (0.2): 3.5 of 4 pairs.
    found = ensemble.spread_of_errors(labels, score, spread, 0.5)
    assert dataclasses.astuple(found) == pytest.approx((0.15, 0.25, 3.5 / 4))
    assert ensemble.spread_of_errors(labels, labels, spread, 0.5).auc is None


def test_fewest_members_are_those_within_reach_of_all():
    rising = [SizeMetrics(n, 1, auc, auc, auc) for n, auc in ((1, 0.70), (2, 0.785), (3, 0.80))]
    flat = [SizeMetrics(n, 1, 0.60, 0.60, 0.60) for n in (1, 2, 3)]
    assert ensemble.fewest_members([rising, flat]) == 2
    assert ensemble.fewest_members([flat]) == 1
    assert ensemble.fewest_members([rising]) == 3
