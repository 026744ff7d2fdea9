"""The procedure of a run, which permutations and learning curves repeat: training of all members and their scores."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.members import Members
from components.common.artifacts.splits import MemberSplit, Splits
from components.common.files import digest_of
from components.common.settings import StudySettings
from components.evaluate import ensemble
from components.model.network import Network
from components.train.engine import ENGINE_VERSION, train_pack
from pipelines.local.display import EARLIEST, ConsoleDisplay

Labels = NDArray[np.int64]
Progress = Callable[[int, int, str], None]
Key = TypeVar("Key")
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, slots=True)
class Procedure:
    """What a run does with labels and splits: its dataset, network and settings."""

    dataset: Dataset
    network: Network
    settings: StudySettings

    def key(self, *parts: Any) -> str:
        """Digest of everything that a repetition depends on; ``parts`` are plain values that identify it."""
        settings, network = dataclasses.asdict(self.settings), self.network.digest
        return digest_of([ENGINE_VERSION, self.dataset.digest, settings, network, *parts])

    def with_labels(self, labels: Labels) -> Dataset:
        """The dataset with other labels."""
        return dataclasses.replace(self.dataset, tumours=self.dataset.tumours.assign(label=labels))

    def scores(
        self,
        labels: Labels,
        splits: tuple[MemberSplit, ...],
        *,
        seed: int,
        workers: int | None,
        progress: Progress,
    ) -> pd.DataFrame:
        """``ensemble.scores`` of all members, which are trained with ``seed``."""
        data = self.with_labels(labels)
        members = train_pack(
            self.network,
            data.crops,
            labels,
            list(data.tumours.tumour),
            splits,
            self.settings.train,
            seed=seed,
            dataset_digest=data.digest,
            workers=workers,
            progress=progress,
        )
        unit = self.settings.split.split_unit
        return ensemble.scores(data, Splits(splits, unit, 0, {}), Members(members, data.digest))


def completed(
    keys: Sequence[Key],
    stored: Callable[[Key], Result | None],
    make: Callable[[Key, Progress], Result],
    *,
    title: Callable[[Key], str],
    progress: Progress | None,
) -> list[Result]:
    """The results of all keys: those that are stored, and the others, which are made now.

    Parameters
    ----------
    keys
        What is wanted, in the order in which it is made.
    stored
        The result of a key that an earlier call stored, or None.
    make
        Makes and stores the result of a key; reports its own ``progress(networks trained, networks to train, note)``.
    title
        What the display calls a key.
    progress
        Called as ``progress(networks trained, networks to train, title)``, without those of stored results. Every
        result is expected to need as many networks as the present one.
    """
    found = [stored(key) for key in keys]
    missing = [place for place, result in enumerate(found) if result is None]
    for number, place in enumerate(missing):

        def report(done: int, total: int, _note: str = "", number: int = number, place: int = place) -> None:
            if progress:
                progress(number * total + done, len(missing) * total, title(keys[place]))

        found[place] = make(keys[place], report)
    return [result for result in found if result is not None]


def followed(step: str, console: Console, work: Callable[[Progress], Result], stored_text: Callable[[], str]) -> Result:
    """Does work whose progress is shown as that of ``step``; after Ctrl-C, ``stored_text`` says what is kept."""
    started = time.monotonic()
    with ConsoleDisplay(console) as display:
        display.begin(step)

        def progress(done: int, total: int, note: str) -> None:
            early = _time_left(started, done, total) if done < EARLIEST * total else ""
            display.advance(step, step, done, total, note + early)

        failed = True
        try:
            result = work(progress)
            failed = False
        except KeyboardInterrupt:
            display.stopping()
            console.print(stored_text(), soft_wrap=True)
            raise
        finally:
            display.end(step, failed=failed)
    return result


def _time_left(started: float, done: int, total: int) -> str:
    """The estimate that the display does not give yet; "" before the first network is trained."""
    return f", {(time.monotonic() - started) / done * (total - done):.0f} s left" if done else ""


def require_mlflow() -> None:
    """Raises, before hours of work, if MLflow does not answer."""
    from components.common import mlflow_client, tracking

    mlflow_client.require_server(mlflow_client.INTERACTIVE_SECONDS)
    tracking.prepare_store()
