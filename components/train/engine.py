"""Trains a pack of members in one process: data resident, loops compiled once, one thread a core.

A member's weights depend only on seed, group, index, its split and the settings, bit for bit on CPU: random samples
are functions of those (``training``), each member is computed on one thread, and no array's shape depends on the pack.
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

#: Raised whenever a change moves a member's bits: members in a store are then trained again.
ENGINE_VERSION = 2
#: Seconds between two progress reports where no member finishes.
PROGRESS_EVERY_S = 2.0
#: Seconds of training that a killed pack loses at most, per member.
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
    """Trains the members of ``splits`` side by side, or takes them from ``store``.

    Parameters
    ----------
    crops
        [n, 151, 151] float32, HU.
    labels
        [n] integers, 1 = non-responder.
    tumours
        [n] pseudonyms, as the splits name them.
    splits, settings, seed, dataset_digest
        What a member's weights depend on, and so its key in ``store``.
    store
        Where finished and half-trained members are kept; None keeps nothing.
    workers
        Members trained at a time, one thread each; by default the processors this process may use.
    gpus
        GPUs that share the members; 0 trains on CPU.
    progress
        Called in this thread as ``progress(members done, members, note)``.
    accepted
        Called in this thread with each member as soon as it is there.

    Returns
    -------
    tuple of Member
        In the order of ``splits``, with answers for all n tumours.

    Raises
    ------
    InputError
        ``DATASET_SHAPE``, ``CROPS_NOT_FINITE``, ``SPLIT_UNKNOWN_TUMOUR`` or ``SPLIT_ONE_CLASS``, before any training.
    TrainingError
        ``LOSS_NOT_FINITE``, naming the member; the others stop at their next check.
    """
    rows = {tumour: row for row, tumour in enumerate(tumours)}
    _check(crops, labels, rows, splits)
    keys = [member_key(split, settings, seed=seed, dataset_digest=dataset_digest) for split in splits]
    kept = [store.get(key) if store else None for key in keys]
    members = {member.id: _reused(member) for member in kept if member}
    jobs = [(split, key) for split, key in zip(splits, keys, strict=True) if split.id not in members]
    tally = _Tally(len(splits), progress, accepted)
    tally.take(members.values())
    if jobs:
        places = itertools.cycle(devices(crops, labels, settings, gpus))

        def train(split: MemberSplit, key: str, device: Device) -> Member:
            return _train_member(MemberTraining(device, labels, rows, split, seed), key, store, tally)

        trained = _side_by_side(train, [(*job, next(places)) for job in jobs], workers or processors(), tally)
        members |= {member.id: member for member in trained}
    return tuple(members[split.id] for split in splits)


def member_key(split: MemberSplit, settings: TrainSettings, *, seed: int, dataset_digest: str) -> str:
    """Name of a member in the store: digest of all that its weights depend on."""
    return digest_of([ENGINE_VERSION, dataset_digest, split.digest, settings.to_dict(), seed])


class _Stopped(Exception):
    """A member left its training because the pack stops."""


class _Tally:
    """What the pack's threads tell each other and the caller."""

    def __init__(self, total: int, progress: Progress | None, accepted: Callable[[Member], None] | None) -> None:
        self.stop = threading.Event()
        self._done, self._total, self._progress, self._accepted = 0, total, progress, accepted
        self._lock = threading.Lock()
        self._restarts, self._best = 0, 0.0

    def checked(self, check: ValidationCheck, verdict: Verdict) -> None:
        """Notes one validation check of one member."""
        with self._lock:
            self._restarts += verdict is Verdict.RESTART
            self._best = max(self._best, check.validation_accuracy)

    def take(self, members: Iterable[Member]) -> None:
        """Hands finished members to the caller and tells how far the pack is."""
        for member in members:
            self._done += 1
            if self._accepted:
                self._accepted(member)
        if self._progress:
            self._progress(self._done, self._total, f"restarts {self._restarts}, best {self._best:.2f}")


def _train_member(training: MemberTraining, key: str, store: MemberStore | None, tally: _Tally) -> Member:
    """Trains one member to its end, from its half-trained state where there is one."""
    if store and (state := store.get_state(key)):
        training.resume(state)
    started = saved = time.monotonic()
    while (verdict := training.to_next_check()) is not Verdict.STOP:
        tally.checked(training.course.checks[-1], verdict)
        stopping = tally.stop.is_set()
        if store and (stopping or time.monotonic() - saved >= STATE_EVERY_S):
            store.put_state(key, training.state())
            saved = time.monotonic()
        if stopping:
            raise _Stopped
    tally.checked(training.course.checks[-1], verdict)
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


def _side_by_side(
    train: Callable[[MemberSplit, str, Device], Member],
    jobs: list[tuple[MemberSplit, str, Device]],
    workers: int,
    tally: _Tally,
) -> list[Member]:
    """The members of ``jobs``, ``workers`` at a time; on a failure or SIGTERM the others save their state and stop."""
    with ends_on_sigterm(), threadpool_limits(1, "blas"), futures.ThreadPoolExecutor(workers) as threads:
        running = [threads.submit(train, *job) for job in jobs]
        try:
            pending = set(running)
            while pending:
                ended, pending = futures.wait(pending, PROGRESS_EVERY_S, futures.FIRST_COMPLETED)
                tally.take(future.result() for future in ended)
        except BaseException:
            tally.stop.set()
            threads.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in running]


def _check(crops: NDArray[Any], labels: NDArray[Any], rows: dict[str, int], splits: Sequence[MemberSplit]) -> None:
    sizes = {len(crops), len(labels), len(rows)}
    if len(sizes) != 1 or crops.shape[1:] != (IMAGE_SIZE_PX, IMAGE_SIZE_PX) or not set(np.unique(labels)) <= {0, 1}:
        raise InputError("DATASET_SHAPE", "crops, labels and tumours do not fit together")
    if not np.isfinite(crops).all():
        raise InputError("CROPS_NOT_FINITE", "the crops hold values that are not numbers")
    unknown, one_class = [], []
    for split in splits:
        for role, names in (("training", split.training), ("validation", split.validation)):
            known = [rows[name] for name in names if name in rows]
            if len(known) < len(names):
                unknown.append(
                    f"{split.id}: {len(names) - len(known)} tumours of the {role} set are not in the data set"
                )
            elif len(set(labels[known])) < 2:
                one_class.append(f"{split.id}: the {role} set does not hold both classes")
    if unknown:
        raise InputError.collected("SPLIT_UNKNOWN_TUMOUR", "the splits are of another data set:", unknown)
    if one_class:
        hint = "Use more tumours, fewer groups, or another seed."
        raise InputError.collected("SPLIT_ONE_CLASS", "some members cannot be trained:", one_class, hint)
