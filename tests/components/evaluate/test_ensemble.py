import dataclasses
import itertools

import numpy as np
import pytest

from components.common.artifacts.members import Members
from components.common.artifacts.metrics import SizeMetrics
from components.common.errors import InputError
from components.evaluate import ensemble
from components.stats.roc import auc_score


def test_evaluation_rows_use_all_members_and_development_rows_those_of_other_groups_that_evaluated(study):
    dataset, splits, members = study
    table = ensemble.scores(dataset, splits, members)
    assert " ".join(table.columns) == "group tumour patient label role mean vote spread members"
    position = {tumour: i for i, tumour in enumerate(dataset.tumours["tumour"])}
    for row in table.sample(60, random_state=1).to_dict("records"):
        evaluating = [m for m in members.members if row["tumour"] in m.split.evaluation]
        own = {m.split.group for m in evaluating} & {row["group"]}
        assert bool(own) == (row["role"] == "evaluation")
        scoring = [m for m in evaluating if m.split.group == row["group"]] if own else evaluating
        probabilities = np.array([m.probabilities[position[row["tumour"]]] for m in scoring], dtype=float)
        by_group = probabilities.reshape(-1, 10)
        assert row["members"] == len(scoring) > 0
        assert row["mean"] == pytest.approx(probabilities.mean())
        assert row["vote"] == pytest.approx((probabilities > 0.5).mean())
        assert row["spread"] == pytest.approx(by_group.std(axis=1).mean())


def test_development_rows_are_of_patients_outside_the_groups_evaluation_set(study):
    dataset, splits, members = study
    table = ensemble.scores(dataset, splits, members)
    patient_of = dict(zip(dataset.tumours["tumour"], dataset.tumours["patient"], strict=True))
    evaluated = {group: set(splits.of_group(group)[0].evaluation) for group in splits.groups}
    for group in splits.groups:
        own = {patient_of[tumour] for tumour in evaluated[group]}
        others = set().union(*(tumours for name, tumours in evaluated.items() if name != group))
        rows = table[(table["group"] == group) & (table["role"] == "development")]
        assert set(rows["tumour"]) == {tumour for tumour in others if patient_of[tumour] not in own}


def test_no_score_uses_a_network_that_was_trained_or_accepted_on_the_tumour(study):
    # Scores must not change when each member's predictions outside its evaluation set change.
    dataset, splits, members = study
    altered = []
    for member in members.members:
        evaluated = dataset.tumours["tumour"].isin(member.split.evaluation).to_numpy()
        altered.append(dataclasses.replace(member, probabilities=np.where(evaluated, member.probabilities, 1.0)))
    altered = Members(tuple(altered), members.dataset_digest)
    assert ensemble.scores(dataset, splits, members).equals(ensemble.scores(dataset, splits, altered))


def test_refuses_missing_members_and_invalid_probabilities(study):
    dataset, splits, members = study
    with pytest.raises(InputError, match="A-01: missing"):
        ensemble.scores(dataset, splits, Members(members.members[1:], members.dataset_digest))
    for probabilities in (np.full(110, np.nan, np.float32), np.zeros(3, np.float32), np.full(110, 1.5, np.float32)):
        first = dataclasses.replace(members.members[0], probabilities=probabilities)
        with pytest.raises(InputError, match="MEMBER_ANSWERS"):
            ensemble.scores(dataset, splits, Members((first, *members.members[1:]), members.dataset_digest))


def test_agreement_counts_pairs():
    rng = np.random.default_rng(0)
    probabilities = rng.random((5, 12))
    votes = probabilities > 0.5
    pairs = [np.mean(votes[a] == votes[b]) for a, b in itertools.combinations(range(5), 2)]
    assert ensemble.agreement(probabilities) == pytest.approx(np.mean(pairs))
    assert ensemble.agreement(probabilities[:1]) == 1.0


def test_auc_by_size_evaluates_every_subset():
    rng = np.random.default_rng(0)
    labels = np.array([0, 1] * 8)
    probabilities = rng.random((4, 16)) * 0.5 + 0.3 * labels
    sizes = ensemble.auc_by_size(labels, probabilities, "mean", rng)
    assert [(size.members, size.subsets) for size in sizes] == [(1, 4), (2, 6), (3, 4), (4, 1)]
    pairs = [auc_score(labels, probabilities[list(s)].mean(axis=0)) for s in itertools.combinations(range(4), 2)]
    assert sizes[1].mean_auc == pytest.approx(np.mean(pairs))
    assert sizes[3].min_auc == sizes[3].max_auc == sizes[3].mean_auc


def test_auc_by_size_samples_subsets_of_large_ensembles():
    labels = np.array([0, 1] * 6)
    sizes = ensemble.auc_by_size(labels, np.random.default_rng(0).random((30, 12)), "vote", np.random.default_rng(1))
    assert max(size.subsets for size in sizes) == ensemble.MOST_SUBSETS


def test_spread_of_errors_compares_misclassified_with_correctly_classified_tumours():
    labels, score, spread = [0, 0, 1, 1], [0.2, 0.7, 0.9, 0.4], [0.1, 0.3, 0.2, 0.2]
    # Misclassified: the second (0.3) and fourth (0.2); correct: the first (0.1) and third (0.2). 3.5 of 4 pairs.
    result = ensemble.spread_of_errors(labels, score, spread, 0.5)
    assert dataclasses.astuple(result) == pytest.approx((0.15, 0.25, 3.5 / 4))
    assert ensemble.spread_of_errors(labels, labels, spread, 0.5).auc is None


def test_fewest_members_are_the_smallest_ensemble_within_tolerance_of_all():
    rising = [SizeMetrics(n, 1, auc, auc, auc) for n, auc in ((1, 0.70), (2, 0.785), (3, 0.80))]
    flat = [SizeMetrics(n, 1, 0.60, 0.60, 0.60) for n in (1, 2, 3)]
    assert ensemble.fewest_members([rising, flat]) == 2
    assert ensemble.fewest_members([flat]) == 1
    assert ensemble.fewest_members([rising]) == 3
