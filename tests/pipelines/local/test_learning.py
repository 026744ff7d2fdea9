"""Trainings with fewer tumours: what is trained and stored, and how a stopped curve goes on."""

import dataclasses

import numpy as np
import pytest

from components.common.artifacts.members import Member
from components.common.artifacts.splits import Splits
from components.common.presets import resolve
from components.model.networks.building import build_network
from components.split.smaller import smaller_splits
from components.split.splits import make_splits
from components.stats.auc import auc_score
from pipelines.local import procedure as procedures
from pipelines.local.learning import Draws
from pipelines.local.procedure import Procedure
from tests.components.common.member_facts import made_facts
from tests.components.evaluate.conftest import make_dataset
from tests.pipelines.local.finished_run import interrupted

STUDY = resolve("fast", {"study": "learned", "split": {"groups": 3, "members": 2}, "evaluate": {"bootstrap": 200}})
FRACTIONS = (0.5, 0.75)


class Killed(BaseException):
    """What ends a process."""


def run_of(study, tumours=60, patients=45, seed=3) -> tuple[Procedure, Splits]:
    dataset, _ = make_dataset(tumours, patients, seed=seed)
    members = make_splits(dataset.tumours, study.split, study=study.study, seed=study.seed)
    return Procedure(dataset, build_network(study), study), Splits(members, "patient", 0, {}, study)


@pytest.fixture(scope="module")
def run() -> tuple[Procedure, Splits]:
    return run_of(STUDY)


@pytest.fixture
def trained(monkeypatch):
    """What the members were trained with, one entry for each call; their answers know a part of the label."""
    calls = []

    def train(_network, _crops, labels, _tumours, splits, _settings, **more):
        calls.append((np.asarray(labels), splits, more["seed"]))
        rng = np.random.default_rng(more["seed"])
        answers = np.clip(0.5 + 0.1 * labels + rng.normal(0, 0.2, len(labels)), 0, 1)
        return tuple(Member(split, {}, None, answers, made_facts()) for split in splits)

    monkeypatch.setattr(procedures, "train_pack", train)
    return calls


def drawn(run, folder, fractions=FRACTIONS, draws=2, seed=1) -> Draws:
    return Draws.of(*run, fractions, draws, folder, seed=seed)


def test_each_training_has_the_labels_its_own_splits_and_a_seed_for_its_draw(run, trained, tmp_path):
    procedure, splits = run
    tumours = procedure.dataset.tumours
    found = drawn(run, tmp_path).train()
    assert {fraction: len(draws) for fraction, draws in found.items()} == {0.5: 2, 0.75: 2}
    places = [(draw, fraction) for draw in range(2) for fraction in FRACTIONS]
    assert [one[1] for one in trained] == [
        smaller_splits(splits, tumours, fraction, seed=1, draw=draw) for draw, fraction in places
    ]
    assert all((labels == tumours.label).all() for labels, _, _ in trained)
    seeds = [seed for _, _, seed in trained]
    assert seeds[0] == seeds[1] != seeds[2] == seeds[3]
    assert STUDY.seed not in seeds


def test_scores_and_sizes_are_those_of_the_evaluation_tumours_and_of_the_splits(run, trained, tmp_path):
    procedure, splits = run
    tumours = procedure.dataset.tumours
    one = drawn(run, tmp_path, draws=1).train()[0.5][0]
    (labels, smaller, seed), *_ = trained
    answers = np.clip(0.5 + 0.1 * labels + np.random.default_rng(seed).normal(0, 0.2, len(labels)), 0, 1)
    for group in "ABC":
        evaluated = tumours.tumour.isin(splits.of_group(group)[0].evaluation).to_numpy()
        assert one.scores[group] == pytest.approx(answers[evaluated])
        assert auc_score(labels[evaluated], one.scores[group]) == auc_score(labels[evaluated], answers[evaluated])
    assert one.training_tumours == np.mean([len(split.training) for split in smaller])
    own = [
        tumours.patient[tumours.tumour.isin([*split.training, *split.validation])].nunique() for split in smaller[::2]
    ]
    assert one.patients == np.mean(own)


def test_a_curve_that_was_killed_goes_on_where_it_was(run, trained, tmp_path, monkeypatch):
    working = procedures.train_pack
    interrupted(monkeypatch, 3, Killed)
    draws = drawn(run, tmp_path)
    with pytest.raises(Killed):
        draws.train()
    assert [draws.stored(place) is not None for place in draws.splits] == [True, True, False, False]
    monkeypatch.setattr(procedures, "train_pack", working)
    counts = []
    found = draws.train(progress=lambda *given: counts.append(given))
    assert len(trained) == 4  # two before, two now
    assert counts[0] == (0, 2 * 6, "fraction 0.5, draw 2 of 2")
    whole = drawn(run, tmp_path / "other").train()
    assert scores_of(found) == scores_of(whole)


def scores_of(found):
    return {fraction: [one.scores for one in draws] for fraction, draws in found.items()}


def test_more_draws_and_other_fractions_add_to_those_that_are_there(run, trained, tmp_path):
    first = drawn(run, tmp_path).train()
    more = drawn(run, tmp_path, fractions=(0.5, 0.6, 0.75), draws=3).train()
    assert len(trained) == 4 + 5
    assert scores_of(more)[0.5][:2] == scores_of(first)[0.5]


def test_a_damaged_file_is_trained_again(run, trained, tmp_path):
    first = drawn(run, tmp_path).train()
    next(iter(tmp_path.glob("*.json"))).write_text("{")
    again = drawn(run, tmp_path).train()
    assert len(trained) == 5
    assert scores_of(again) == scores_of(first)


@pytest.mark.usefixtures("trained")
def test_other_settings_data_evaluation_sets_or_seeds_have_other_files(run, tmp_path):
    procedure, splits = run
    moved = tuple(dataclasses.replace(split, evaluation=split.evaluation[1:]) for split in splits.members)
    other_data = dataclasses.replace(procedure.dataset, digest="e" * 64)
    wider = resolve("fast", {"study": "learned", "split": {"groups": 3, "members": 2}, "train": {"max_steps": 300}})
    runs = [
        (run, 1),
        (run, 2),
        ((procedure, dataclasses.replace(splits, members=moved)), 1),
        ((dataclasses.replace(procedure, dataset=other_data), splits), 1),
        ((dataclasses.replace(procedure, settings=wider), splits), 1),
    ]
    for number, (one, seed) in enumerate(runs, start=1):
        drawn(one, tmp_path, fractions=(0.5,), draws=1, seed=seed).train()
        assert len(list(tmp_path.glob("*.json"))) == number


def test_members_are_trained_by_the_engine(tmp_path):
    """One real training, of a network of few filters and steps; tumours are the unit of its splits."""
    settings = {
        "split": {"groups": 2, "members": 2, "evaluation_responders": 5, "evaluation_non_responders": 5},
        "network": {"filters_1": 2, "filters_2": 2, "dense_1": 4, "dense_2": 4},
        "train": {"max_steps": 20, "restart_step": 20, "max_restarts": 0},
    }
    settings["split"]["split_unit"] = "tumour"
    run = run_of(resolve("fast", settings), 40, 34, 5)
    (one,) = drawn(run, tmp_path, fractions=(0.5,), draws=1).train(workers=2)[0.5]
    assert {group: len(scores) for group, scores in one.scores.items()} == {"A": 10, "B": 10}
    assert all(0 <= score <= 1 for scores in one.scores.values() for score in scores)
    assert one.seconds > 0
