"""Ensemble scores for evaluation and development tumours, agreement and spread of members, AUC by ensemble size."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.layout import RUN_AGAIN
from components.common.artifacts.members import Member, Members
from components.common.artifacts.metrics import SizeMetrics, SpreadOfErrors
from components.common.artifacts.splits import Splits
from components.common.errors import InputError
from components.common.settings import Score
from components.model.scores import calls, combine, spread, votes
from components.stats.auc import checked_labels, placements

#: Largest number of subsets of members evaluated per ensemble size; enough for all subsets of ten members.
MOST_SUBSETS = 252

#: A smaller ensemble suffices if its AUC is at most this far below that of the full ensemble.
ENOUGH = 0.01


def scores(dataset: Dataset, splits: Splits, members: Members) -> pd.DataFrame:
    """Every group's scores for its evaluation and development tumours, one row each (layout of ``Evaluation.scores``).

    Evaluation tumours are scored by all the group's members. A development tumour of a group is one of a patient
    outside its evaluation set that other groups evaluated; it has their scores, since the group's own members were
    trained or accepted on it. A tumour that no other group evaluated has no row.

    Returns
    -------
    pandas.DataFrame
        Columns ``group``, ``tumour``, ``patient``, ``label``, ``role``, ``mean``, ``vote``, ``spread`` and ``members``.
        ``mean`` is the mean probability, ``vote`` the vote fraction, ``spread`` the standard deviation (divisor:
        members) of the probabilities, ``members`` the number of members that scored the tumour. Where several
        groups evaluated a development tumour, it has the mean of their values.

    Raises
    ------
    InputError
        ``MEMBERS_INCOMPLETE``; ``MEMBER_ANSWERS`` where a member lacks a valid probability for any tumour.
    """
    by_id = {member.id: member for member in members.members}
    missing = [f"{split.id}: missing" for split in splits.members if split.id not in by_id]
    if missing:
        raise InputError.collected("MEMBERS_INCOMPLETE", "members of the splits were not trained:", missing, RUN_AGAIN)
    evaluated = pd.concat(
        [_evaluated(dataset, group, [by_id[split.id] for split in splits.of_group(group)]) for group in splits.groups],
        ignore_index=True,
    )
    return pd.concat([evaluated, *(developed(evaluated, group) for group in splits.groups)], ignore_index=True)


def pooled(evaluated: pd.DataFrame) -> pd.DataFrame:
    """Evaluation rows of several groups as one row for each tumour, with the mean of the groups' values.

    Returns
    -------
    pandas.DataFrame
        Sorted by ``tumour``; columns ``tumour``, ``patient``, ``label``, ``mean``, ``vote``, ``spread``, ``members``.
    """
    columns = {"patient": "first", "label": "first", "mean": "mean", "vote": "mean", "spread": "mean", "members": "sum"}
    return evaluated.groupby("tumour", sort=True).agg(columns).reset_index()


def _evaluated(dataset: Dataset, group: str, members: list[Member]) -> pd.DataFrame:
    probabilities = probabilities_of(members, len(dataset.tumours))
    chosen = dataset.tumours["tumour"].isin(members[0].split.evaluation).to_numpy()
    own = probabilities[:, chosen]
    table = dataset.tumours.loc[chosen, ["tumour", "patient", "label"]]
    return pd.DataFrame(
        {
            "group": group,
            "tumour": table["tumour"].to_numpy(),
            "patient": table["patient"].to_numpy(),
            "label": table["label"].to_numpy(dtype=int),
            "role": "evaluation",
            "mean": combine(own, "mean"),
            "vote": combine(own, "vote"),
            "spread": spread(own),
            "members": len(members),
        }
    )


def developed(evaluated: pd.DataFrame, group: str) -> pd.DataFrame:
    """A group's development rows, from the evaluation rows of all groups."""
    is_own = evaluated["group"] == group
    others = evaluated[~is_own & ~evaluated["patient"].isin(evaluated.loc[is_own, "patient"])]
    return pooled(others).assign(group=group, role="development")[list(evaluated.columns)]


def probabilities_of(members: list[Member], tumours: int) -> NDArray[np.float64]:
    """[members, tumours] probabilities of non-response; raises ``MEMBER_ANSWERS`` where one is missing or invalid."""
    problems = [
        f"{m.id}: not one probability per tumour"
        for m in members
        if m.probabilities.shape != (tumours,) or not bool(((m.probabilities >= 0) & (m.probabilities <= 1)).all())
    ]
    if problems:
        raise InputError.collected("MEMBER_ANSWERS", "members' probabilities cannot be used:", problems)
    return np.stack([m.probabilities for m in members]).astype(np.float64)


def agreement(probabilities: NDArray[np.float64]) -> float:
    """Proportion of member pairs that cast the same vote, averaged over tumours; 1 for a single member."""
    count = len(probabilities)
    if count < 2:
        return 1.0
    positive = votes(probabilities).sum(axis=0)
    same = positive * (positive - 1) + (count - positive) * (count - positive - 1)
    return float((same / (count * (count - 1))).mean())


def spread_of_errors(y_true: ArrayLike, score: ArrayLike, spreads: ArrayLike, cut_off: float) -> SpreadOfErrors:
    """Mean spread of correctly and of incorrectly classified tumours, and its AUC for misclassification."""
    spreads = np.asarray(spreads, dtype=np.float64)
    wrong = calls(score, cut_off) != (np.asarray(y_true) == 1)
    of_right, of_wrong = (float(spreads[group].mean()) if group.any() else None for group in (~wrong, wrong))
    auc = placements(wrong, spreads).auc if None not in (of_right, of_wrong) else None
    return SpreadOfErrors(of_right, of_wrong, auc)


def fewest_members(sizes: Sequence[Sequence[SizeMetrics]]) -> int:
    """The smallest ensemble whose AUC, averaged over groups, is within ``ENOUGH`` of the full ensemble's.

    ``sizes`` holds ``auc_by_size`` of every group.
    """
    mean = pd.concat([pd.DataFrame(list(rows)) for rows in sizes]).groupby("members")["mean_auc"].mean()
    return int(mean.index[mean >= mean.iloc[-1] - ENOUGH].min())


def auc_by_size(
    y_true: ArrayLike, probabilities: NDArray[np.float64], score: Score, rng: np.random.Generator
) -> tuple[SizeMetrics, ...]:
    """AUC of smaller ensembles, to judge whether fewer members would suffice.

    For each size all subsets of members are scored, or ``MOST_SUBSETS`` random ones if there are more.

    Parameters
    ----------
    y_true
        [n] labels.
    probabilities
        [members, n] probabilities of non-response.
    score
        ``mean`` or ``vote``.
    rng
        Generator that samples subsets where there are more than ``MOST_SUBSETS``.
    """
    rows, positive = [], checked_labels(y_true)
    for size in range(1, len(probabilities) + 1):
        subsets = _subsets(len(probabilities), size, rng)
        aucs = [placements(positive, combine(probabilities[list(subset)], score)).auc for subset in subsets]
        rows.append(SizeMetrics(size, len(subsets), float(np.mean(aucs)), min(aucs), max(aucs)))
    return tuple(rows)


def _subsets(count: int, size: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    if math.comb(count, size) <= MOST_SUBSETS:
        return list(itertools.combinations(range(count), size))
    return [tuple(rng.choice(count, size, replace=False).tolist()) for _ in range(MOST_SUBSETS)]
