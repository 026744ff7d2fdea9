"""One group's answers and every figure drawn from them."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.members import Members
from components.common.artifacts.splits import Splits
from components.common.errors import InputError
from components.common.settings import EvaluateSettings
from components.evaluate import ensemble
from components.evaluate.covariates import beyond_the_image
from components.model.scores import VOTE_CUT_OFF, Score, calls, votes
from components.stats import calibration
from components.stats.roc import Interval, Scored, choose_cut_off, paired_test, rates_at, roc_summary

#: Intervals reported beside the paper's; DeLong's and the bootstrap are clustered by patient.
OTHER_INTERVALS: tuple[Interval, ...] = ("delong", "newcombe", "bootstrap")


@dataclasses.dataclass(frozen=True, slots=True)
class GroupAnswers:
    """One group's answers. ``probabilities`` is [members, evaluation tumours]; the tables are rows of ``scores``."""

    name: str
    settings: EvaluateSettings
    rng: np.random.Generator
    evaluation: pd.DataFrame
    out_of_bag: pd.DataFrame
    tumours: pd.DataFrame
    responses: NDArray[np.object_]
    probabilities: NDArray[np.float64]
    facts: list[dict[str, Any]]
    development: int

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
    ) -> "GroupAnswers":
        """The group's part of a run; ``rng`` serves its bootstrap and subsets."""
        rows = scores[scores["group"] == name]
        evaluation = rows[rows["role"] == "evaluation"]
        place = dataset.tumours["tumour"].isin(evaluation["tumour"]).to_numpy()
        wanted = {split.id for split in splits.of_group(name)}
        own = [member for member in members.members if member.id in wanted]
        answers = ensemble.probabilities_of(own, len(dataset.tumours))[:, place]
        return cls(
            name=name,
            settings=settings,
            rng=rng,
            evaluation=evaluation,
            out_of_bag=rows[rows["role"] == "out_of_bag"],
            tumours=dataset.tumours,
            responses=dataset.tumours.loc[place, "response"].to_numpy(dtype=object),
            probabilities=answers,
            facts=[member.facts for member in own],
            development=len(dataset.tumours) - len(evaluation),
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
            (self.name, str(number), *self._row(vote, VOTE_CUT_OFF), fact["flagged"], fact["restarts"])
            for number, (vote, fact) in enumerate(zip(hard, self.facts, strict=True), start=1)
        ]
        whole = self._row(self.evaluation[self.primary], self.settings.cut_off)
        flagged, restarts = any(f["flagged"] for f in self.facts), sum(int(f["restarts"]) for f in self.facts)
        return [*rows, (self.name, "ensemble", *whole, flagged, restarts)]

    def _row(self, score: ArrayLike, cut_off: float) -> tuple[float, ...]:
        summary, rates = roc_summary(self.labels, score), rates_at(self.labels, score, cut_off)
        return (
            summary.auc,
            summary.p_value,
            summary.ci_low,
            summary.ci_high,
            rates.sensitivity,
            rates.specificity,
        )

    def figures(self) -> dict[str, Any]:
        """Everything about the group as nested plain values."""
        sizes = ensemble.auc_by_size(self.labels, self.probabilities, self.primary, self.rng)
        own = self.evaluation[self.primary]
        return {
            "evaluation": {**self._judged(self.evaluation), **self._intervals(), **self._by_out_of_bag()},
            "out_of_bag": {**self._judged(self.out_of_bag), **self._coverage()},
            "agreement": ensemble.agreement(self.probabilities),
            "gain_over_votes": self._gain(own, votes(self.probabilities)),
            "gain_over_probabilities": self._gain(own, self.probabilities),
            "spread": ensemble.spread_of_errors(self.labels, own, self.evaluation["spread"], self.settings.cut_off),
            "auc_by_size": sizes.to_dict("records"),
            "confusion_by_response": self._confusion(),
            "covariates": beyond_the_image(self.tumours, self.out_of_bag, self.evaluation, self.primary),
            "restarts": sum(int(fact["restarts"]) for fact in self.facts),
            "flagged": sum(bool(fact["flagged"]) for fact in self.facts),
        }

    def _judged(self, rows: pd.DataFrame) -> dict[str, Any]:
        """AUC and rates of both scores on ``rows``, the primary one's on top; no AUC where a class is missing."""
        if rows["label"].nunique() < 2:
            return {"n": len(rows), "auc": None, "mean": {"auc": None}, "vote": {"auc": None}}
        both = {}
        for score in ("mean", "vote"):
            summary = dataclasses.asdict(roc_summary(rows["label"], rows[score]))
            rates = dataclasses.asdict(rates_at(rows["label"], rows[score], self.settings.cut_off))
            scale = calibration.calibrate(rows["label"], rows[score]).to_dict()
            both[score] = {**summary, **rates, "calibration": scale}
        return {"n": len(rows), **both[self.primary], **both}

    def _intervals(self) -> dict[str, Any]:
        """Limits of the primary score's AUC by the other methods, patients kept whole where the method can."""
        found: dict[str, Any] = {}
        for ci in OTHER_INTERVALS:
            try:
                summary = roc_summary(
                    self.labels,
                    self.evaluation[self.primary],
                    ci,
                    patients=self.patients,
                    rng=self.rng,
                    samples=self.settings.bootstrap,
                )
            except InputError:
                found[ci] = None  # too few patients to resample
            else:
                found[ci] = {"se": summary.se, "ci_low": summary.ci_low, "ci_high": summary.ci_high}
        return {"intervals": found}

    def _by_out_of_bag(self) -> dict[str, Any]:
        """What was chosen on out-of-bag answers, applied to the evaluation set: cut-off and Platt scaling."""
        if self.out_of_bag["label"].nunique() < 2:
            return {"out_of_bag_cut_off": None, "platt": None}
        learnt = self.out_of_bag["label"].to_numpy(), self.out_of_bag[self.primary].to_numpy()
        own = self.evaluation[self.primary].to_numpy()
        rates = dataclasses.asdict(rates_at(self.labels, own, choose_cut_off(*learnt)))
        platt = calibration.fit_platt(*learnt)
        if platt is None:
            return {"out_of_bag_cut_off": rates, "platt": None}
        after = calibration.calibrate(self.labels, platt.apply(own)).to_dict()
        return {"out_of_bag_cut_off": rates, "platt": {**dataclasses.asdict(platt), "evaluation": after}}

    def _coverage(self) -> dict[str, Any]:
        return {
            "development_tumours": self.development,
            "never_validated": self.development - len(self.out_of_bag),
            "mean_members": float(self.out_of_bag["members"].mean()) if len(self.out_of_bag) else 0.0,
        }

    def _gain(self, own: ArrayLike, others: NDArray[np.float64]) -> dict[str, Any]:
        """The ensemble's AUC against the mean AUC of its members, tested with patients kept whole."""
        return dataclasses.asdict(paired_test(self.labels, own, others, patients=self.patients))

    def _confusion(self) -> dict[str, dict[str, int]]:
        called = calls(self.evaluation[self.primary], self.settings.cut_off)
        return {
            response: {
                "called_responder": int((~called & (self.responses == response)).sum()),
                "called_non_responder": int((called & (self.responses == response)).sum()),
            }
            for response in ("CR", "PR", "SD", "PD")
        }
