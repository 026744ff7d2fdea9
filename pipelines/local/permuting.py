"""Repeats the whole procedure of a run with permuted labels: splits, training of all members, evaluation.

A repetition is a fixed function of the labels: it has the run's settings, the keyed draw of its evaluation sets and its
seed. A labelling for which no splits with both classes in every set exist is replaced by another one. The observed
labelling is one for which they exist, so that the test stays exact among such labellings.

Each finished repetition is a JSON file of its own, so that the next call continues where this one was stopped.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.permutation import Repetition
from components.common.artifacts.splits import MemberSplit
from components.common.errors import InputError
from components.evaluate.permutation import exchangeable, mean_aucs
from components.split.splits import UNSPLITTABLE, make_splits
from components.stats.permutation import distinct_permutations, permute_labels
from pipelines.local.procedure import Labels, Procedure, Progress, completed

#: Labellings that are drawn for one permutation before its splits are considered impossible.
MOST_DRAWS = 1000
HINT = "The test needs more patients, or smaller evaluation sets."


def splits_with(procedure: Procedure, labels: Labels) -> tuple[MemberSplit, ...] | None:
    """The splits of all members with these labels; None where none have both classes in every set."""
    tumours, settings = procedure.with_labels(labels).tumours, procedure.settings
    try:
        splits = make_splits(tumours, settings.split, study=settings.study, seed=settings.seed)
    except InputError as error:
        if error.code not in UNSPLITTABLE:
            raise
        return None
    positive = set(tumours.tumour[tumours.label == 1])
    evaluation = [set(split.evaluation) for split in splits]
    return splits if all(names & positive and names - positive for names in evaluation) else None


def repeat(
    procedure: Procedure, labels: Labels, splits: tuple[MemberSplit, ...], workers: int | None, progress: Progress
) -> tuple[float, float | None]:
    """Mean AUC over the groups on evaluation tumours and on development predictions, after training all members."""
    settings = procedure.settings
    scores = procedure.scores(labels, splits, seed=settings.seed, workers=workers, progress=progress)
    return mean_aucs(scores, settings.evaluate.ensemble_score)


def repetitions(
    procedure: Procedure,
    n: int,
    folder: Path,
    *,
    seed: int,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Repetition]:
    """The first ``n`` permutations of ``seed``: those that ``folder`` holds, and the others, which are trained now.

    Parameters
    ----------
    procedure
        The procedure to repeat.
    n
        Number of permutations; those of a smaller number are the first of a larger one.
    folder
        Where finished permutations are stored, one file each.
    seed
        Seed of the permutations.
    workers
        Networks trained at a time; by default one for each processor.
    progress
        Called as ``progress(networks trained, networks to train, note)``, without those of stored permutations.

    Raises
    ------
    InputError
        ``PERMUTATION_IMPOSSIBLE`` where the design allows no other labels, or no other labels allow the splits.
    """
    _require_exchangeable(procedure.dataset)
    folder.mkdir(parents=True, exist_ok=True)

    def make(index: int, report: Progress) -> Repetition:
        finished = _repetition(procedure, seed, index, workers, report)
        finished.write(_file(procedure, folder, seed, index))
        return finished

    return completed(
        range(n),
        lambda index: stored(procedure, folder, seed, index),
        make,
        title=lambda index: f"permutation {index + 1} of {n}",
        progress=progress,
    )


def stored(procedure: Procedure, folder: Path, seed: int, index: int) -> Repetition | None:
    """A permutation that was finished by an earlier call; None where there is none, or its file is damaged."""
    return Repetition.read(_file(procedure, folder, seed, index))


def _repetition(procedure: Procedure, seed: int, index: int, workers: int | None, progress: Progress) -> Repetition:
    started = time.monotonic()
    for redrawn, labels in enumerate(_labellings(procedure.dataset, seed, index)):
        if splits := splits_with(procedure, labels):
            progress(0, len(splits), "")
            aucs = repeat(procedure, labels, splits, workers, progress)
            return Repetition(index, *aucs, redrawn, round(time.monotonic() - started, 1))
    message = f"of {MOST_DRAWS} permutations of the labels, none has both classes in every set of the splits"
    raise InputError("PERMUTATION_IMPOSSIBLE", message, HINT)


def _labellings(dataset: Dataset, seed: int, index: int) -> Iterator[Labels]:
    rng, strata = np.random.default_rng([seed, index]), exchangeable(dataset)
    for _ in range(MOST_DRAWS):
        yield permute_labels(dataset.tumours["label"], strata, rng)


def _require_exchangeable(dataset: Dataset) -> None:
    if distinct_permutations(dataset.tumours["label"], exchangeable(dataset)) < 2:
        message = "no two patients with as many tumours, and of the same centre, have different labels"
        raise InputError("PERMUTATION_IMPOSSIBLE", message, HINT)


def _file(procedure: Procedure, folder: Path, seed: int, index: int) -> Path:
    return folder / f"{procedure.key(seed, index)}.json"
