"""Trains a pack of members in one process, with one thread per core that share the data and the compiled loops.

On CPU, a member's weights depend bit for bit on seed, group, index, split and settings only: all random samples are
functions of these (``training``), each member is computed on one thread, and no array's shape depends on the pack.
"""

import concurrent.futures as futures
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from components.common.artifacts.layout import RUN_AGAIN
from components.common.artifacts.members import Member, MemberFacts
from components.common.artifacts.splits import MemberSplit
from components.common.errors import InputError
from components.common.files import digest_of
from components.common.processors import processors
from components.common.settings import IMAGE_SIZE_PX, TrainSettings
from components.common.steps import ends_on_sigterm
from components.train.devices import devices
from components.train.member_store import MemberStore
from components.train.protocol import ValidationCheck, Verdict
from components.train.training import Device, MemberTraining

#: Increased whenever a change affects a member's bits, so that members in a store are trained again.
ENGINE_VERSION = 2
#: Seconds between two progress reports while no member finishes.
PROGRESS_EVERY_S = 2.0
#: Most seconds of training that each member loses when its pack is killed.
STATE_EVERY_S = 10.0

Progress = Callable[[int, int, str], None]


def train_pack(
    crops: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    tumours: Sequence[str],
    splits: Sequence[MemberSplit],
    settings: TrainSettings,
    *,
    seed: int,
    dataset_digest: str,
    store: MemberStore | None = None,
    workers: int | None = None,
    gpus: int = 0,
    progress: Progress | None = None,
    accepted: Callable[[Member], None] | None = None,
) -> tuple[Member, ...]:
    """Trains the members of ``splits`` concurrently, or loads them from ``store``.

    Parameters
    ----------
    crops
        [n, 151, 151] float32, HU.
    labels
        [n] integers, 1 = non-responder.
    tumours
        [n] pseudonyms, as in the splits.
    splits, settings, seed, dataset_digest
        Everything that a member's weights, and so its key in ``store``, depend on.
    store
        Stores finished and half-trained members; None stores nothing.
    workers
        Members trained at a time, one thread each; by default the number of processors that this process may use.
    gpus
        GPUs that share the members; 0 trains on CPU.
    progress
        Called in this thread as ``progress(members done, members, note)``.
    accepted
        Called in this thread with each member as soon as it is finished.

    Returns
    -------
    tuple of Member
        In the order of ``splits``, with predictions for all n tumours.

    Raises
    ------
    InputError
        ``DATASET_SHAPE``, ``CROPS_NOT_FINITE``, ``SPLIT_UNKNOWN_TUMOUR`` or ``SPLIT_ONE_CLASS``, before any training.
    TrainingError
        ``LOSS_NOT_FINITE``, naming the member; the others stop at their next validation check.
    """
    rows = {tumour: row for row, tumour in enumerate(tumours)}
    _check(crops, labels, rows, splits)
    keys = [member_key(split, settings, seed=seed, dataset_digest=dataset_digest) for split in splits]
    stored = [store.get(key) if store else None for key in keys]
    members = {member.id: _reused(member) for member in stored if member}
    jobs = [(split, key) for split, key in zip(splits, keys, strict=True) if split.id not in members]
    tally = _Tally(len(splits), progress, accepted)
    tally.add_finished(members.values())
    if jobs:
        device_cycle = itertools.cycle(devices(crops, labels, settings, gpus))

        def train(split: MemberSplit, key: str, device: Device) -> Member:
            return _train_member(MemberTraining(device, labels, rows, split, seed), key, store, tally)

        trained = _train_all(train, [(*job, next(device_cycle)) for job in jobs], workers or processors(), tally)
        members |= {member.id: member for member in trained}
    return tuple(members[split.id] for split in splits)


def member_key(split: MemberSplit, settings: TrainSettings, *, seed: int, dataset_digest: str) -> str:
    """Name of a member in the store: digest of everything that its weights depend on."""
    return digest_of([ENGINE_VERSION, dataset_digest, split.digest, settings.to_dict(), seed])


class _Stopped(Exception):
    """Raised in a member's thread when the pack stops."""


class _Tally:
    """Progress of the pack, shared by its threads and reported to the caller."""

    def __init__(self, total: int, progress: Progress | None, accepted: Callable[[Member], None] | None) -> None:
        self.stop = threading.Event()
        self._done, self._total, self._progress, self._accepted = 0, total, progress, accepted
        self._lock = threading.Lock()
        self._restarts, self._best = 0, 0.0

    def record(self, check: ValidationCheck, verdict: Verdict) -> None:
        """Records one validation check of one member."""
        with self._lock:
            self._restarts += verdict is Verdict.RESTART
            self._best = max(self._best, check.validation_accuracy)

    def add_finished(self, members: Iterable[Member]) -> None:
        """Passes finished members to the caller and reports the progress of the pack."""
        for member in members:
            self._done += 1
            if self._accepted:
                self._accepted(member)
        if self._progress:
            self._progress(self._done, self._total, f"restarts {self._restarts}, best {self._best:.2f}")


def _train_member(training: MemberTraining, key: str, store: MemberStore | None, tally: _Tally) -> Member:
    """Trains one member to its end, starting from its stored state if there is one."""
    if store and (state := store.get_state(key)):
        training.resume(state)
    started = saved = time.monotonic()
    while (verdict := training.to_next_check()) is not Verdict.STOP:
        tally.record(training.course.checks[-1], verdict)
        stopping = tally.stop.is_set()
        if store and (stopping or time.monotonic() - saved >= STATE_EVERY_S):
            store.put_state(key, training.state())
            saved = time.monotonic()
        if stopping:
            raise _Stopped
    tally.record(training.course.checks[-1], verdict)
    member = _finished(training, key, round(time.monotonic() - started, 3))
    if store:
        store.put(key, member)
    return member


def _finished(training: MemberTraining, key: str, seconds: float) -> Member:
    course, (weights, probabilities) = training.course, training.accepted()
    assert course.best is not None
    facts = MemberFacts(
        seed=training.seed,
        restarts=course.restarts,
        flagged=course.flagged,
        accepted_step=course.best.step,
        validation_accuracy=course.best.validation_accuracy,
        seconds=seconds,
        key=key,
        reused=False,
        determinism=training.determinism,
    )
    history = pd.DataFrame([dataclasses.asdict(check) for check in course.checks])
    return Member(training.split, weights, history, probabilities, facts)


def _reused(member: Member) -> Member:
    return dataclasses.replace(member, facts=dataclasses.replace(member.facts, reused=True))


def _train_all(
    train: Callable[[MemberSplit, str, Device], Member],
    jobs: list[tuple[MemberSplit, str, Device]],
    workers: int,
    tally: _Tally,
) -> list[Member]:
    """Trains ``workers`` members at a time; on a failure or SIGTERM the others save their state and stop."""
    with threadpool_limits(1, "blas"), futures.ThreadPoolExecutor(workers) as threads:
        # An exception while a job is submitted would leave a thread that the pool does not know and never waits for.
        running = [threads.submit(train, *job) for job in jobs]
        with ends_on_sigterm():
            try:
                pending = set(running)
                while pending:
                    ended, pending = futures.wait(pending, PROGRESS_EVERY_S, futures.FIRST_COMPLETED)
                    tally.add_finished(future.result() for future in ended)
            except BaseException:
                tally.stop.set()
                threads.shutdown(cancel_futures=True)
                raise
    return [future.result() for future in running]


def _check(crops: NDArray[Any], labels: NDArray[Any], rows: dict[str, int], splits: Sequence[MemberSplit]) -> None:
    sizes = {len(crops), len(labels), len(rows)}
    if len(sizes) != 1 or crops.shape[1:] != (IMAGE_SIZE_PX, IMAGE_SIZE_PX) or not set(np.unique(labels)) <= {0, 1}:
        raise InputError("DATASET_SHAPE", "the numbers or shapes of crops, labels and tumours do not match")
    if not np.isfinite(crops).all():
        raise InputError("CROPS_NOT_FINITE", "the crops contain NaN or infinity")
    unknown, one_class = [], []
    for split in splits:
        for role, names in (("training", split.training), ("validation", split.validation)):
            in_dataset = [rows[name] for name in names if name in rows]
            if len(in_dataset) < len(names):
                unknown.append(
                    f"{split.id}: {len(names) - len(in_dataset)} tumours of the {role} set are not in the data set"
                )
            elif len(set(labels[in_dataset])) < 2:
                one_class.append(f"{split.id}: the {role} set does not contain both classes")
    if unknown:
        raise InputError.collected("SPLIT_UNKNOWN_TUMOUR", "the splits belong to another dataset:", unknown, RUN_AGAIN)
    if one_class:
        hint = "Use more tumours, fewer groups, or another seed."
        raise InputError.collected("SPLIT_ONE_CLASS", "some members cannot be trained:", one_class, hint)
