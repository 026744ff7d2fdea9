"""What the engines share: the data of a pack, the members to train, and the tally of their progress."""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.members import Member
from components.common.artifacts.splits import MemberSplit
from components.common.settings import TrainSettings
from components.model.network import Network
from components.train.protocol import ValidationCheck, Verdict
from components.train.training import MemberTraining

#: Seconds between two progress reports while no member finishes.
PROGRESS_EVERY_S = 2.0
#: Most seconds of training that each member loses when its pack is killed.
STATE_EVERY_S = 10.0


class Job(NamedTuple):
    """A member to train, and its key in the member store."""

    split: MemberSplit
    key: str


class Data(NamedTuple):
    """What all members of a pack are trained on.

    Parameters
    ----------
    crops
        [n, 151, 151] float32, HU.
    labels
        [n] integers, 1 = non-responder.
    rows
        Row of each tumour's pseudonym.
    """

    network: Network
    crops: NDArray[np.float32]
    labels: NDArray[np.integer[Any]]
    rows: Mapping[str, int]
    settings: TrainSettings
    seed: int

    def training(self, split: MemberSplit, orientations: int) -> MemberTraining:
        """A member's training at its start, on a data set with ``orientations`` of each tumour."""
        return MemberTraining(
            self.network, self.settings, self.labels, self.rows, split, seed=self.seed, orientations=orientations
        )


class Stopped(Exception):
    """Raised where a member's training ends because its pack stops."""


class Tally:
    """Progress of the pack, shared by its threads and reported to the caller."""

    def __init__(
        self, total: int, progress: Callable[[int, int, str], None] | None, accepted: Callable[[Member], None] | None
    ) -> None:
        self.stop = threading.Event()
        self._done, self._total, self._progress, self._accepted = 0, total, progress, accepted
        self._lock = threading.Lock()
        self._restarts = 0
        self._best: float | None = None

    def record(self, check: ValidationCheck, verdict: Verdict) -> None:
        """Records one validation check of one member."""
        with self._lock:
            self._restarts += verdict is Verdict.RESTART
            self._best = max(self._best or 0.0, check.validation_accuracy)

    def add_finished(self, members: Iterable[Member]) -> None:
        """Passes finished members to the caller and reports the progress of the pack."""
        for member in members:
            self._done += 1
            if self._accepted:
                self._accepted(member)
        if self._progress:
            note = "" if self._best is None else f"restarts {self._restarts}, best {self._best:.2f}"
            self._progress(self._done, self._total, note)
