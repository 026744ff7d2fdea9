"""Repeats the training and evaluation of a run with parts of its development patients, for a learning curve.

Each finished training of all members is a JSON file of its own, so that the next call continues where this one was
stopped, and more draws or other fractions add to those that are there.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from components.common.artifacts.learning_curve import SmallerTraining
from components.common.artifacts.splits import MemberSplit, Splits
from components.evaluate.learning_curve import evaluation_scores, mean_sizes
from components.split.smaller import all_smaller_splits, checked_fractions
from pipelines.local.procedure import Procedure, Progress, completed

#: Draw, counted from 0, and fraction.
Place = tuple[int, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Draws:
    """The trainings that a learning curve consists of.

    Parameters
    ----------
    procedure
        The run's procedure.
    seed
        Seed of the draws.
    splits
        The splits of all members by draw and fraction, in the order in which they are trained.
    folder
        Where finished trainings are stored, one file each.
    """

    procedure: Procedure
    seed: int
    splits: dict[Place, tuple[MemberSplit, ...]]
    folder: Path

    @classmethod
    def of(
        cls, procedure: Procedure, splits: Splits, fractions: Sequence[float], draws: int, folder: Path, *, seed: int
    ) -> "Draws":
        """Draws the patients; raises as ``checked_fractions`` and ``all_smaller_splits``, before any training."""
        rising = checked_fractions(fractions)
        drawn = all_smaller_splits(splits, procedure.dataset.tumours, rising, draws, seed=seed)
        return cls(procedure, seed, drawn, folder)

    def stored(self, place: Place) -> SmallerTraining | None:
        """A training that was finished by an earlier call; None where there is none, or its file is damaged."""
        return SmallerTraining.read(self._file(place))

    def train(
        self, *, workers: int | None = None, progress: Progress | None = None
    ) -> dict[float, list[SmallerTraining]]:
        """The trainings of all draws by fraction: those that are stored, and the others, which are done now.

        Parameters
        ----------
        workers
            Networks trained at a time; by default one for each processor.
        progress
            Called as ``progress(networks trained, networks to train, note)``, without those of stored trainings.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        draws = 1 + max(draw for draw, _ in self.splits)

        def make(place: Place, report: Progress) -> SmallerTraining:
            finished = self._training(place, workers, report)
            finished.write(self._file(place))
            return finished

        results = completed(
            list(self.splits),
            self.stored,
            make,
            title=lambda place: f"fraction {place[1]:g}, draw {place[0] + 1} of {draws}",
            progress=progress,
        )
        found: dict[float, list[SmallerTraining]] = {}
        for (_, fraction), result in zip(self.splits, results, strict=True):
            found.setdefault(fraction, []).append(result)
        return found

    def _training(self, place: Place, workers: int | None, progress: Progress) -> SmallerTraining:
        started, procedure, splits = time.monotonic(), self.procedure, self.splits[place]
        tumours, score = procedure.dataset.tumours, procedure.settings.evaluate.ensemble_score
        progress(0, len(splits), "")
        seed = self._training_seed(place)
        labels = tumours["label"].to_numpy(dtype=np.int64)
        scores = procedure.scores(labels, splits, seed=seed, workers=workers, progress=progress)
        return SmallerTraining(
            *mean_sizes(splits, tumours), evaluation_scores(scores, score), round(time.monotonic() - started, 1)
        )

    def _training_seed(self, place: Place) -> int:
        """A seed of its own for each draw, so that the spread over draws includes the chance of training."""
        entropy = [self.procedure.settings.seed, self.seed, place[0]]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0])

    def _file(self, place: Place) -> Path:
        digests = [split.digest for split in self.splits[place]]
        return self.folder / f"{self.procedure.key(self._training_seed(place), digests)}.json"
