"""Studies of linear learners, which take a tenth of a second: splits, predictions, bound and gate are the product's.

A tumour is a vector of features. The first one tells responders from non-responders, the others are noise; a share of
all of them may be the patient's own, so that lesions of a patient are alike in look and label. A member is a logistic
regression by gradient descent from random weights, validated at intervals and accepted by its best validation accuracy,
as a CNN is. Its true AUC is measured on thousands of new tumours.
"""

import dataclasses

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.common.artifacts.splits import MemberSplit
from components.common.settings import GateSettings, SplitSettings
from components.evaluate.ensemble import developed, pooled
from components.promote.change import Change, Side, Trial, compare
from components.promote.gate import Load, Verdict, decide
from components.split.splits import make_splits
from components.stats.auc import auc_score
from components.stats.bootstrap import Scored, mean_auc, mean_auc_lower_bound
from tests.components.evaluate.golden_metrics import golden_metrics

FEATURES = 24
STEPS, VALIDATE_EVERY, LEARNING_RATE = 60, 3, 0.3
NEW_TUMOURS = 2000
BOOTSTRAP = 400
METRICS = golden_metrics()
LOADED = Load(True, "not checked here.")
Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Cohort:
    """Tumour table, features [n, FEATURES], and new tumours with their labels."""

    tumours: pd.DataFrame
    features: Floats
    new_features: Floats
    new_labels: NDArray[np.int64]


def make_cohort(
    rng: np.random.Generator,
    signal: float,
    patient_effect: float = 0.0,
    tumours: int = 110,
    patients: int = 0,
    *,
    centres: int = 1,
    failing: bool = False,
) -> Cohort:
    """A cohort of the paper's class ratio, and by default its lesions per patient, at centres of like size.

    The best score's AUC is Phi(signal * sqrt 2); with ``failing`` there is no signal at the first centre.
    """
    patients = patients or round(tumours * 89 / 110)
    counts = np.ones(patients, int)
    for _ in range(tumours - patients):
        counts[rng.choice(np.flatnonzero(counts < 5))] += 1
    patient = np.repeat(np.arange(patients), counts)
    own, shared = np.sqrt(1 - patient_effect), np.sqrt(patient_effect)
    latent = own * rng.normal(size=tumours) + shared * rng.normal(size=patients)[patient]
    labels = np.zeros(tumours, int)
    labels[np.argsort(latent)[round(tumours * 57 / 110) :]] = 1
    features = own * rng.normal(size=(tumours, FEATURES)) + shared * rng.normal(size=(patients, FEATURES))[patient]
    centre = rng.permutation(np.arange(patients) % centres)[patient] if centres > 1 else np.zeros(tumours, int)
    features[:, 0] += signal * (2 * labels - 1) * ~(failing & (centre == 0))
    table = pd.DataFrame(
        {
            "tumour": [f"T{index:04d}" for index in range(tumours)],
            "patient": [f"P{number:04d}" for number in patient],
            "centre": [f"C{number}" for number in centre],
            "label": labels,
        }
    )
    new_labels = rng.integers(0, 2, NEW_TUMOURS)
    new_features = rng.normal(size=(NEW_TUMOURS, FEATURES))
    new_features[:, 0] += signal * (2 * new_labels - 1)
    return Cohort(table, features, new_features, new_labels)


@dataclasses.dataclass(frozen=True)
class LinearRun:
    """A run of the whole procedure.

    Parameters
    ----------
    scores
        As ``Evaluation.scores``, without votes.
    splits
        All members' splits.
    true_auc, true_study_auc
        Mean of the groups' AUCs, and the AUC of all members together, on new tumours.
    """

    cohort: Cohort
    scores: pd.DataFrame
    splits: tuple[MemberSplit, ...]
    true_auc: float
    true_study_auc: float

    def of(self, group: str, role: str) -> pd.DataFrame:
        """Rows of a group and role."""
        return self.scores[(self.scores["group"] == group) & (self.scores["role"] == role)]

    @property
    def groups(self) -> list[str]:
        return sorted({split.group for split in self.splits})

    @property
    def scored(self) -> list[Scored]:
        """The groups' evaluation sets."""
        rows = [self.of(group, "evaluation") for group in self.groups]
        return [Scored(one["label"].to_numpy(), one["mean"].to_numpy(), one["patient"].to_numpy()) for one in rows]

    @property
    def centres(self) -> dict[str, str]:
        """The centre that each group evaluates, where it is one centre."""
        table = self.cohort.tumours.set_index("tumour")["centre"]
        return {split.group: table[split.evaluation[0]] for split in self.splits}

    @property
    def mean_auc(self) -> float:
        """The estimate that the product gives for the study ensemble."""
        return mean_auc(self.scored)

    @property
    def development_auc(self) -> float:
        """Mean over the groups of the AUC of development predictions."""
        rows = [self.of(group, "development") for group in self.groups]
        return float(np.mean([auc_score(one["label"], one["mean"]) for one in rows]))

    @property
    def study_rows(self) -> pd.DataFrame:
        """One row for each evaluated tumour."""
        return pooled(self.scores[self.scores["role"] == "evaluation"])


def run_study(
    cohort: Cohort,
    study: str,
    seed: int,
    *,
    unit: str = "patient",
    blur: float = 0.0,
    groups: int = 5,
    members: int = 10,
) -> LinearRun:
    """Splits, trains, accepts and scores; ``blur`` is the SD of noise on the informative feature."""
    table, rng = cohort.tumours, np.random.default_rng([seed, 7])
    settings = SplitSettings(groups=groups, members=members, split_unit=unit)  # type: ignore[arg-type]
    splits = make_splits(table, settings, study=study, seed=seed)
    seen, new = cohort.features.copy(), cohort.new_features.copy()
    for features in (seen, new):
        features[:, 0] += blur * rng.normal(size=len(features))
    weights = _train(_with_constant(seen), table["label"].to_numpy(), splits, list(table["tumour"]), rng)
    probabilities, of_new = (_expit(weights @ _with_constant(one).T) for one in (seen, new))
    group_of = np.array([split.group for split in splits])
    rows = [_evaluated(table, probabilities[group_of == group], splits, group) for group in sorted(set(group_of))]
    evaluated = pd.concat(rows, ignore_index=True)
    scores = pd.concat([evaluated, *(developed(evaluated, group) for group in sorted(set(group_of)))])
    true = [auc_score(cohort.new_labels, of_new[group_of == group].mean(axis=0)) for group in sorted(set(group_of))]
    return LinearRun(cohort, scores, splits, float(np.mean(true)), auc_score(cohort.new_labels, of_new.mean(axis=0)))


def verdict(run: LinearRun, changes: list[Change], *, unit: str = "patient", bootstrap: int = BOOTSTRAP) -> Verdict:
    """The gate's verdict with the default settings."""
    example = METRICS.groups["A"]
    aucs = {name: auc_score(one.y_true, one.score) for name, one in zip(run.groups, run.scored, strict=True)}
    metrics = dataclasses.replace(
        METRICS,
        split_unit=unit,
        mean_auc=run.mean_auc,
        mean_auc_lower_bound=mean_auc_lower_bound(run.scored, rng=1, samples=bootstrap),
        groups={
            name: dataclasses.replace(example, evaluation=dataclasses.replace(example.evaluation, auc=auc))
            for name, auc in aucs.items()
        },
        centres=run.centres if unit == "centre" else {},
        counts=dataclasses.replace(METRICS.counts, groups=len(run.groups), members=len(run.splits)),
    )
    return decide(metrics, "study", changes, LOADED, GateSettings())


def side(run: LinearRun) -> Side:
    """What a run's bundle says of itself."""
    patient_of = dict(zip(run.cohort.tumours["tumour"], run.cohort.tumours["patient"], strict=True))
    seen: dict[str, set[str]] = {}
    for split in run.splits:
        seen.setdefault(split.group, set()).update(patient_of[name] for name in split.training + split.validation)
    return Side("image", "study", "key", False, {group: frozenset(names) for group, names in seen.items()})


def change(challenger: LinearRun, other: LinearRun, against: str) -> Change:
    """The rule's comparison of two runs on one cohort, whose evaluation sets are the same."""
    trials = {}
    for group in challenger.groups:
        ours, theirs = (one.of(group, "evaluation").set_index("tumour") for one in (challenger, other))
        trials[group] = Trial(
            list(ours.index),
            ours["label"].to_numpy(),
            ours["patient"].tolist(),
            ours["mean"].to_numpy(),
            theirs["mean"].loc[ours.index].to_numpy(),
            group,
        )
    return compare(side(challenger), side(other), trials, GateSettings(), against=against)


def _evaluated(table: pd.DataFrame, own: Floats, splits: tuple[MemberSplit, ...], group: str) -> pd.DataFrame:
    evaluation = next(split.evaluation for split in splits if split.group == group)
    chosen = table["tumour"].isin(evaluation).to_numpy()
    means, votes = own[:, chosen].mean(axis=0), (own[:, chosen] > 0.5).mean(axis=0)
    columns = {"mean": means, "vote": votes, "spread": own[:, chosen].std(axis=0), "members": len(own)}
    return table[chosen].drop(columns="centre").assign(group=group, role="evaluation", **columns).reset_index(drop=True)


def _train(x: Floats, labels: NDArray[np.int64], splits: tuple[MemberSplit, ...], names: list[str],
           rng: np.random.Generator) -> Floats:  # fmt: skip
    """Accepted weights [members, features + 1] of all members."""
    training, validation = (
        np.array([np.isin(names, getattr(split, role)) for split in splits], float)
        for role in ("training", "validation")
    )
    training /= training.sum(axis=1, keepdims=True)
    validation /= validation.sum(axis=1, keepdims=True)
    weights = rng.normal(size=(len(splits), x.shape[1])) * 0.3
    accepted, best = weights.copy(), np.full(len(splits), -1.0)
    for step in range(1, STEPS + 1):
        probabilities = _expit(weights @ x.T)
        if step % VALIDATE_EVERY == 0:
            accuracy = (((probabilities > 0.5) == labels) * validation).sum(axis=1)
            better = accuracy > best
            accepted[better], best[better] = weights[better], accuracy[better]
        weights = weights - LEARNING_RATE * ((probabilities - labels) * training) @ x
    return accepted


def _with_constant(features: Floats) -> Floats:
    return np.column_stack([features, np.ones(len(features))])


def _expit(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))
