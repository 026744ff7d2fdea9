"""One group's predictions and all metrics computed from them."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.members import MemberFacts, Members
from components.common.artifacts.metrics import (
    DevelopmentMetrics,
    EvaluationMetrics,
    GroupMetrics,
    OneClassMetrics,
)
from components.common.artifacts.score_metrics import (
    Limits,
    OtherIntervals,
    PairedTest,
    PlattMetrics,
    Rates,
)
from components.common.artifacts.splits import Splits
from components.common.errors import InputError
from components.common.settings import EvaluateSettings, Score
from components.evaluate import ensemble
from components.evaluate.covariates import covariate_metrics
from components.evaluate.outcomes import calls_by_response
from components.evaluate.set_metrics import fields_of, newcombe_of, set_metrics
from components.model.scores import VOTE_CUT_OFF, votes
from components.stats import calibration
from components.stats.platt import calibrated
from components.stats.roc import Interval, Scored, choose_cut_off, paired_test, rates_at, roc_summary


@dataclasses.dataclass(frozen=True, slots=True)
class GroupPredictions:
    """One group's predictions; ``probabilities`` is [members, evaluation tumours], tables are rows of ``scores``."""

    name: str
    settings: EvaluateSettings
    rng: np.random.Generator
    evaluation: pd.DataFrame
    development: pd.DataFrame
    tumours: pd.DataFrame
    responses: NDArray[np.object_]
    probabilities: NDArray[np.float64]
    facts: list[MemberFacts]

    @classmethod
    def of(
        cls,
        name: str,
        dataset: Dataset,
        splits: Splits,
        members: Members,
        scores: pd.DataFrame,
        settings: EvaluateSettings,
        rng: np.random.Generator,
    ) -> "GroupPredictions":
        """The group's part of a run; ``rng`` is the generator of its bootstrap and subsets."""
        rows = scores[scores["group"] == name]
        evaluation = rows[rows["role"] == "evaluation"]
        evaluated = dataset.tumours["tumour"].isin(evaluation["tumour"]).to_numpy()
        wanted = {split.id for split in splits.of_group(name)}
        own = [member for member in members.members if member.id in wanted]
        probabilities = ensemble.probabilities_of(own, len(dataset.tumours))[:, evaluated]
        return cls(
            name=name,
            settings=settings,
            rng=rng,
            evaluation=evaluation,
            development=rows[rows["role"] == "development"],
            tumours=dataset.tumours,
            responses=dataset.tumours.loc[evaluated, "response"].to_numpy(dtype=object),
            probabilities=probabilities,
            facts=[member.facts for member in own],
        )

    def scored(self, score: str) -> Scored:
        """The evaluation set under one of the ensemble's scores."""
        return Scored(self.labels, self.evaluation[score].to_numpy(), self.patients)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels of the evaluation tumours."""
        return self.evaluation["label"].to_numpy()

    @property
    def patients(self) -> NDArray[np.object_]:
        """Patients of the evaluation tumours."""
        return self.evaluation["patient"].to_numpy()

    @property
    def primary(self) -> Score:
        """Name of the primary score."""
        return self.settings.ensemble_score

    def table_rows(self) -> list[tuple[Any, ...]]:
        """Rows of Table III: members by their hard votes, then the ensemble by its primary score."""
        hard = votes(self.probabilities)
        rows = [
            (self.name, str(number), *self._row(vote, VOTE_CUT_OFF, fact.flagged, fact.restarts))
            for number, (vote, fact) in enumerate(zip(hard, self.facts, strict=True), start=1)
        ]
        flagged, restarts = any(f.flagged for f in self.facts), sum(f.restarts for f in self.facts)
        combined = self._row(self.evaluation[self.primary], self.settings.cut_off, flagged, restarts)
        return [*rows, (self.name, "ensemble", *combined)]

    def _row(self, score: ArrayLike, cut_off: float, flagged: bool, restarts: int) -> tuple[Any, ...]:
        summary, rates = roc_summary(self.labels, score), rates_at(self.labels, score, cut_off)
        newcombe = newcombe_of(summary)
        return (
            summary.auc,
            summary.p_value,
            summary.ci_low,
            summary.ci_high,
            rates.sensitivity,
            rates.specificity,
            flagged,
            restarts,
            newcombe.ci_low,
            newcombe.ci_high,
            summary.p_value_ties,
        )

    def metrics(self) -> GroupMetrics:
        """All metrics of the group."""
        # Before the bootstrap, which uses the same generator: the order decides the digits.
        sizes = ensemble.auc_by_size(self.labels, self.probabilities, self.primary, self.rng)
        own = self.evaluation[self.primary]
        return GroupMetrics(
            evaluation=self._evaluation_metrics(),
            development=self._development_metrics(),
            agreement=ensemble.agreement(self.probabilities),
            gain_over_votes=self._gain(own, votes(self.probabilities)),
            gain_over_probabilities=self._gain(own, self.probabilities),
            spread=ensemble.spread_of_errors(self.labels, own, self.evaluation["spread"], self.settings.cut_off),
            auc_by_size=sizes,
            confusion_by_response=calls_by_response(self.responses, own, self.settings.cut_off),
            covariates=covariate_metrics(self.tumours, self.development, self.evaluation, self.primary),
            restarts=sum(fact.restarts for fact in self.facts),
            flagged=sum(fact.flagged for fact in self.facts),
        )

    def _evaluation_metrics(self) -> EvaluationMetrics:
        rates, platt = self._by_development()
        intervals = OtherIntervals(self._limits("delong"), self._limits("newcombe"), self._limits("bootstrap"))
        on_set = set_metrics(self.evaluation, self.settings)
        return EvaluationMetrics(**fields_of(on_set), intervals=intervals, development_cut_off=rates, platt=platt)

    def _development_metrics(self) -> DevelopmentMetrics | OneClassMetrics:
        count = len(self.development)
        outside = int((~self.tumours["patient"].isin(self.patients)).sum())
        coverage: dict[str, Any] = {
            "tumours": outside,
            "never_evaluated": outside - count,
            "mean_members": float(self.development["members"].mean()) if count else 0.0,
        }
        if self.development["label"].nunique() < 2:
            return OneClassMetrics(n=count, **coverage)
        return DevelopmentMetrics(**fields_of(set_metrics(self.development, self.settings)), **coverage)

    def _limits(self, ci: Interval) -> Limits | None:
        """Limits of the primary score's AUC, clustered by patient where the method can; None for too few patients."""
        own, samples = self.evaluation[self.primary], self.settings.bootstrap
        try:
            summary = roc_summary(self.labels, own, ci, patients=self.patients, rng=self.rng, samples=samples)
        except InputError:
            return None
        return Limits(summary.se, summary.ci_low, summary.ci_high)

    def _by_development(self) -> tuple[Rates | None, PlattMetrics | None]:
        """Cut-off and Platt scaling chosen on development predictions, applied to the evaluation set."""
        if self.development["label"].nunique() < 2:
            return None, None
        development = self.development["label"].to_numpy(), self.development[self.primary].to_numpy()
        own = self.evaluation[self.primary].to_numpy()
        rates = rates_at(self.labels, own, choose_cut_off(*development))
        platt = calibration.fit_platt(*development)
        if platt is None:
            return rates, None
        after = calibration.calibrate(
            self.labels, calibrated(own, platt.slope, platt.intercept), patients=self.patients
        )
        return rates, PlattMetrics(platt.slope, platt.intercept, platt.n, after)

    def _gain(self, own: ArrayLike, others: NDArray[np.float64]) -> PairedTest:
        """The ensemble's AUC against the mean AUC of its members, tested with patients as clusters."""
        return paired_test(self.labels, own, others, patients=self.patients)
