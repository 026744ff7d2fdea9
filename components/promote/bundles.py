"""Writes a run's bundles, and the same members as Keras models, into a scratch folder, and logs them to MLflow."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common import tracking
from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.members import Member
from components.common.artifacts.metrics import OneClassMetrics
from components.common.artifacts.score_metrics import PlattScaling
from components.common.artifacts.splits import Splits
from components.common.files import digest_of_file
from components.model.bundle import Development, developed, write_bundle
from components.model.keras_export import ensemble_model, save_keras
from components.model.manifest import KERAS_DIGEST, STUDY, Manifest
from components.model.networks.building import network_of
from components.phantom.phantom import golden_case
from components.promote.bundle_model import log_bundle
from components.promote.story import Sizes

WRITERS = 4  # models logged at a time
#: Of a member, which has no development predictions of its own.
NONE = Development()


class Bundles:
    """The bundles of a run: of the study ensemble, of each group's ensemble, and of each member."""

    def __init__(self, scratch: Path, data: Dataset, splits: Splits, members: Sequence[Member]) -> None:
        self.scratch = scratch
        self.data = data
        self.splits = splits
        self.members = members
        self.golden = golden_case()
        self._network = network_of(splits)
        self._keras = threading.Lock()  # building a model resets Keras' state for all threads

    @property
    def names(self) -> list[str]:
        """Names of the ensembles: ``STUDY`` where there are several groups, then each group of the first draw."""
        groups = self.splits.groups[: self.splits.settings.split.groups]
        return [*([STUDY] if len(groups) > 1 else []), *groups]

    def folder(self, name: str) -> Path:
        """The folder of a bundle."""
        return self.scratch / name

    def keras_file(self, name: str) -> Path:
        """The Keras model of a bundle's members."""
        return self.scratch / f"{name}.keras"

    def write_ensemble(self, name: str, evaluated: Evaluation) -> Manifest:
        """Writes the bundle of an ensemble of ``names``, calibrated by its development predictions."""
        extra = {"mean_auc_of_groups": evaluated.metrics.mean_auc}
        return self.write(name, self._members_of(name), _development(name, evaluated), extra)

    def sizes(self, name: str) -> Sizes:
        """Numbers of an ensemble's members, and of the tumours and patients that they were trained on."""
        members, tumours = self._members_of(name), self.data.tumours
        trained = tumours[tumours.tumour.isin(developed(members))]
        return Sizes(len(members), len(trained), trained.patient.nunique())

    def log(self, run_id: str, name: str, title: str) -> str:
        """Logs a written bundle as an MLflow model of a run; returns its URI."""
        return log_bundle(run_id, self.folder(name), title, self.keras_file(name))

    def log_members(self, progress: Callable[[int, int, str], None]) -> None:
        """Writes and logs every member as a model of its own run."""
        runs = tracking.member_runs(self.splits.tracking)

        def log(member: Member) -> None:
            self.write(member.id, [member])
            self.log(runs[member.id], member.id, f"member-{member.id}")

        with ThreadPoolExecutor(WRITERS) as pool:
            for done, _ in enumerate(pool.map(log, self.members), start=1):
                progress(done, len(self.members), "models logged")

    def crops(self, tumours: Iterable[str]) -> NDArray[np.float32]:
        """The crops [n, 151, 151] of tumours, HU."""
        position = {name: row for row, name in enumerate(self.data.tumours.tumour)}
        return self.data.crops[[position[name] for name in tumours]]

    def _members_of(self, name: str) -> list[Member]:
        groups = self.names if name == STUDY else [name]
        return [member for member in self.members if member.split.group in groups]

    def write(
        self,
        name: str,
        members: Sequence[Member],
        development: Development = NONE,
        extra: dict[str, Any] | None = None,
    ) -> Manifest:
        """Writes members as a bundle and as a Keras model; ``extra`` are further values of the manifest."""
        settings, keras_file = self.splits.settings, self.keras_file(name)
        weights = [(member.id, member.weights) for member in members]
        with self._keras:
            save_keras(ensemble_model(self._network, weights, settings.train), keras_file)
            return write_bundle(
                self.folder(name),
                members,
                dataset=self.data,
                network=self._network,
                settings=settings,
                golden=self.golden,
                development=development,
                extra={**(extra or {}), KERAS_DIGEST: digest_of_file(keras_file)},
            )


def _development(name: str, evaluated: Evaluation) -> Development:
    """What an ensemble's development predictions give; for the study these are all groups' evaluation predictions."""
    metrics, scores = evaluated.metrics, evaluated.scores
    if name == STUDY:
        rows = scores[scores.role == "evaluation"].groupby("tumour")[metrics.primary_score].mean()
        return Development.of(rows.to_numpy(), metrics.study.platt)
    group = metrics.groups[name]
    scaling = None
    if not isinstance(group.development, OneClassMetrics) and group.evaluation.platt:
        scaling = PlattScaling(*(getattr(group.evaluation.platt, one) for one in ("slope", "intercept", "n")))
    own = (scores.group == name) & (scores.role == "development")
    return Development.of(scores.loc[own, metrics.primary_score].to_numpy(), scaling)
