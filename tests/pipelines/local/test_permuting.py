"""Repetitions of a run with permuted labels: what is repeated, what is stored, and how a stopped test goes on."""

import dataclasses

import numpy as np
import pytest

from components.common.artifacts.members import Member, Members
from components.common.artifacts.permutation import SAME_AUC
from components.common.artifacts.splits import Splits
from components.common.errors import InputError
from components.common.presets import resolve
from components.evaluate.evaluation import evaluate
from components.evaluate.permutation import observed_aucs, permutation_test
from components.model.networks.building import build_network
from components.split.splits import make_splits
from pipelines.local import permuting
from pipelines.local import procedure as procedures
from pipelines.local.permuting import repeat, repetitions, splits_with, stored
from pipelines.local.procedure import Procedure
from tests.components.common.member_facts import made_facts
from tests.components.evaluate.conftest import make_dataset
from tests.pipelines.local.finished_run import interrupted

STUDY = resolve("fast", {"study": "permuted", "split": {"groups": 3, "members": 2}, "evaluate": {"bootstrap": 200}})


def answers(network, crops, labels, tumours, splits, settings, **_):
    """Stands in for ``train_pack``: members that know a part of the label, without training."""
    rng = np.random.default_rng(4)
    history = None
    return tuple(
        Member(split, {}, history, np.clip(0.5 + 0.1 * labels + rng.normal(0, 0.2, len(labels)), 0, 1), made_facts())
        for split in splits
    )


class Killed(BaseException):
    """What ends a process."""


@pytest.fixture(scope="module")
def procedure() -> Procedure:
    dataset, _ = make_dataset(60, 45, seed=3)
    dataset.tumours["centre"] = None
    return Procedure(dataset, build_network(STUDY), STUDY)


@pytest.fixture
def trained(monkeypatch):
    """The labels with which the members were trained, one entry for each call; ``answers`` trains them."""
    calls = []

    def train(network, crops, labels, tumours, splits, settings, **more):
        calls.append(np.asarray(labels))
        return answers(network, crops, labels, tumours, splits, settings, **more)

    monkeypatch.setattr(procedures, "train_pack", train)
    return calls


@pytest.mark.usefixtures("trained")
def test_a_repetition_gives_the_mean_aucs_of_the_evaluation(procedure):
    """With the observed labels, it gives the figures that the step ``evaluate`` writes."""
    labels = procedure.dataset.tumours.label.to_numpy()
    member_splits = splits_with(procedure, labels)
    assert member_splits == make_splits(procedure.dataset.tumours, STUDY.split, study=STUDY.study, seed=STUDY.seed)
    aucs = repeat(procedure, labels, member_splits, 1, lambda *_: None)
    members = answers(None, None, labels, None, member_splits, None)
    splits = Splits(member_splits, "patient", 0, {"asked": [12, 11]})
    data = procedure.dataset
    metrics = evaluate(data, splits, Members(members, data.digest), STUDY.evaluate, seed=1).metrics
    assert aucs == pytest.approx(observed_aucs(metrics))
    assert aucs[0] == pytest.approx(metrics.mean_auc)
    assert aucs[1] == pytest.approx(np.mean([group.development.auc for group in metrics.groups.values()]))


def test_each_repetition_permutes_labels_splits_and_training(procedure, trained, tmp_path):
    found = repetitions(procedure, 4, tmp_path, seed=1)
    observed = procedure.dataset.tumours.label.to_numpy()
    assert len(trained) == 4
    assert len({tuple(labels) for labels in trained} | {tuple(observed)}) == 5
    assert all(labels.sum() == observed.sum() for labels in trained)
    evaluation = {tuple(split.evaluation for split in splits_with(procedure, labels)) for labels in trained}
    assert len(evaluation) == 4  # the quotas of the classes move the evaluation sets
    assert [one.index for one in found] == [0, 1, 2, 3]


@pytest.mark.usefixtures("trained")
def test_the_seed_decides_and_more_permutations_begin_with_the_same(procedure, tmp_path):
    def aucs(n, folder, seed=1):
        return [one.evaluation for one in repetitions(procedure, n, tmp_path / folder, seed=seed)]

    assert aucs(2, "a") == aucs(4, "b")[:2]
    assert aucs(2, "a", seed=2) != aucs(2, "b")


def test_a_test_that_was_killed_goes_on_where_it_was(procedure, tmp_path, monkeypatch, trained):
    working = procedures.train_pack
    interrupted(monkeypatch, 3, Killed)
    with pytest.raises(Killed):
        repetitions(procedure, 5, tmp_path, seed=1)
    assert [stored(procedure, tmp_path, 1, index) is not None for index in range(5)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    monkeypatch.setattr(procedures, "train_pack", working)
    counts = []
    found = repetitions(procedure, 5, tmp_path, seed=1, progress=lambda done, total, _: counts.append((done, total)))
    assert len(trained) == 5  # two before, three now
    assert counts[0] == (0, 3 * 6)
    whole = repetitions(procedure, 5, tmp_path / "other", seed=1)
    assert [one.evaluation for one in found] == [one.evaluation for one in whole]


@pytest.mark.parametrize(
    ("split", "groups"),
    [({"split_unit": "centre", "groups": 4, "min_centre_class_size": 3}, 2), ({"groups": 3, "repeats": 2}, 6)],
)
def test_progress_counts_the_networks_that_are_really_trained(procedure, tmp_path, monkeypatch, split, groups):
    """Fewer than ``split.groups`` where fewer centres can be left out, and more where sets are drawn repeatedly."""
    trained, counts = [], []

    def train(network, crops, labels, tumours, splits, settings, **more):
        trained.extend(splits)
        more["progress"](len(splits), len(splits), "")
        return answers(network, crops, labels, tumours, splits, settings)

    monkeypatch.setattr(procedures, "train_pack", train)
    study = resolve("fast", {"study": "permuted", "split": {"members": 2, **split}})
    table = procedure.dataset.tumours
    centre = np.where(table.patient.rank(method="dense") % 2, "C-1", "C-2")
    dataset = dataclasses.replace(procedure.dataset, tumours=table.assign(centre=centre))
    other = dataclasses.replace(procedure, dataset=dataset, settings=study)
    found = repetitions(other, 3, tmp_path, seed=1, progress=lambda *given: counts.append(given[:2]))
    assert len(trained) == 3 * 2 * groups
    assert counts == [(done * 2 * groups, len(trained)) for done in (0, 1, 1, 2, 2, 3)]
    two_centres = groups == 2  # each evaluates what the other is developed on
    assert all(one.development == pytest.approx(one.evaluation, abs=SAME_AUC) for one in found) is two_centres


def test_a_damaged_file_is_repeated(procedure, tmp_path, trained):
    first = repetitions(procedure, 2, tmp_path, seed=1)
    next(iter(tmp_path.glob("*.json"))).write_text("{")
    again = repetitions(procedure, 2, tmp_path, seed=1)
    assert len(trained) == 3
    assert [one.evaluation for one in again] == [one.evaluation for one in first]


def test_other_settings_data_or_networks_have_other_files(procedure):
    other = resolve("fast", {"study": "permuted", "seed": 2})
    small = resolve("fast", {"network": {"filters_1": 4}})
    keys = {
        procedure.key(1, 0),
        procedure.key(1, 1),
        procedure.key(2, 0),
        dataclasses.replace(procedure, settings=other).key(1, 0),
        dataclasses.replace(procedure, network=build_network(small)).key(1, 0),
        dataclasses.replace(procedure, dataset=dataclasses.replace(procedure.dataset, digest="e" * 64)).key(1, 0),
    }
    assert len(keys) == 6


@pytest.mark.usefixtures("trained")
def test_labels_without_splits_are_replaced(procedure, tmp_path, monkeypatch):
    real, refused = permuting.make_splits, []

    def make(*given, **more):
        if len(refused) < 3:
            refused.append(1)
            raise InputError("TOO_FEW_TUMOURS", "fewer than two patients of a class are left")
        return real(*given, **more)

    monkeypatch.setattr(permuting, "make_splits", make)
    assert [one.redrawn for one in repetitions(procedure, 2, tmp_path, seed=1)] == [3, 0]


def test_labels_that_never_have_splits_are_refused(procedure, tmp_path, monkeypatch):
    monkeypatch.setattr(permuting, "MOST_DRAWS", 5)
    monkeypatch.setattr(permuting, "splits_with", lambda *_: None)
    with pytest.raises(InputError) as caught:
        repetitions(procedure, 1, tmp_path, seed=1)
    assert caught.value.code == "PERMUTATION_IMPOSSIBLE"


def test_a_cohort_whose_labels_cannot_be_exchanged_is_refused(procedure, tmp_path):
    """Each centre has one class only, so that nothing can be exchanged within it."""
    table = procedure.dataset.tumours.drop_duplicates("patient")
    table = table.assign(centre=np.where(table.label == 1, "C-1", "C-2"))
    dataset = dataclasses.replace(procedure.dataset, tumours=table)
    with pytest.raises(InputError, match="of the same centre") as caught:
        repetitions(dataclasses.replace(procedure, dataset=dataset), 1, tmp_path, seed=1)
    assert caught.value.code == "PERMUTATION_IMPOSSIBLE"


@pytest.mark.usefixtures("trained")
def test_the_test_counts_permutations_that_reach_the_run(procedure, tmp_path):
    labels = procedure.dataset.tumours.label.to_numpy()
    member_splits = splits_with(procedure, labels)
    members = Members(answers(None, None, labels, None, member_splits, None), procedure.dataset.digest)
    splits = Splits(member_splits, "patient", 0, {"asked": [12, 11]})
    metrics = evaluate(procedure.dataset, splits, members, STUDY.evaluate, seed=1).metrics
    test = permutation_test(procedure.dataset, metrics, [(0.4, 0.5), (0.99, None), (0.5, 0.7)], seed=1, redrawn=2)
    assert (test.n, test.p_value, test.redrawn) == (3, 0.5, 2)
    assert test.null.mean == pytest.approx(0.63)
    assert test.development_null.n == 2
    assert test.distinct is None  # far more than a million
    assert type(test).read(tmp_path) is None
    test.write(tmp_path)
    assert type(test).read(tmp_path) == test


def test_members_are_trained_by_the_engine(tmp_path):
    """One real repetition, of a network of few filters and steps."""
    settings = {
        "split": {"groups": 2, "members": 2, "evaluation_responders": 5, "evaluation_non_responders": 5},
        "network": {"filters_1": 2, "filters_2": 2, "dense_1": 4, "dense_2": 4},
        "train": {"max_steps": 20, "restart_step": 20, "max_restarts": 0},
    }
    study = resolve("fast", settings)
    dataset, _ = make_dataset(40, 34, seed=5)
    procedure = Procedure(dataset, build_network(study), study)
    (one,) = repetitions(procedure, 1, tmp_path, seed=1, workers=2)
    assert 0 <= one.evaluation <= 1
    assert one.seconds > 0
