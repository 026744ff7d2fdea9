"""Trains a pack of members by the engine that the settings choose, or loads them from the member store.

    cpu                threads of this process, which share the data and the compiled loops   (``threads``)
    jax, tensorflow    a process for each GPU, which trains many members in one program, or
                       for each core                                                          (``processes``)

Whatever the engine, a member's random samples are functions of seed, group, index and step (``training``). The
weights that are trained on CPU depend bit for bit on these, the member's split, the settings and the engine only; those
that are trained on a GPU also on the device.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.layout import RUN_AGAIN
from components.common.artifacts.members import Member
from components.common.artifacts.splits import MemberSplit
from components.common.errors import InputError
from components.common.files import digest_of
from components.common.settings import IMAGE_SIZE_PX, TrainSettings
from components.model.layer_stack import engine_of
from components.model.network import Network
from components.train.jobs import Data, Job, Tally
from components.train.member_store import MemberStore
from components.train.processes import train_in_processes
from components.train.threads import train_in_threads

#: Increased whenever a change affects a member's bits, so that members in a store are trained again.
ENGINE_VERSION = 2

Progress = Callable[[int, int, str], None]


def train_pack(
    network: Network,
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
    state_uri: str = "",
    progress: Progress | None = None,
    accepted: Callable[[Member], None] | None = None,
) -> tuple[Member, ...]:
    """Trains the members of ``splits`` concurrently, or loads them from ``store``.

    Parameters
    ----------
    network
        The network, as the start of the run described it.
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
        Members that are trained on CPU at a time, in a thread or process each; by default the number of processors that
        this process may use.
    gpus
        GPUs that share the members, with one process each; 0 trains on CPU.
    state_uri
        Folder beside which the engine ``jax`` stores compiled programs.
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
        ``DATASET_SHAPE``, ``CROPS_NOT_FINITE``, ``SPLIT_UNKNOWN_TUMOUR`` or ``SPLIT_ONE_CLASS``, before any training;
        as ``engine_of``.
    TrainingError
        ``LOSS_NOT_FINITE``, naming the member; the others stop at their next validation check. ``NO_GPU`` or
        ``ENGINE_FAILED`` of a process.
    """
    rows = {tumour: row for row, tumour in enumerate(tumours)}
    _check(crops, labels, rows, splits)
    engine = engine_of(network, settings.engine, gpus)
    chosen = dataclasses.replace(settings, engine=engine)  # `auto` is another one on a GPU
    keys = [
        member_key(network, split, chosen, seed=seed, dataset_digest=dataset_digest, on_gpu=gpus > 0)
        for split in splits
    ]
    stored = [store.get(key) if store else None for key in keys]
    members = {member.id: _reused(member) for member in stored if member}
    jobs = [Job(split, key) for split, key in zip(splits, keys, strict=True) if split.id not in members]
    data, tally = Data(network, crops, labels, rows, settings, seed), Tally(len(splits), progress, accepted)
    tally.add_finished(members.values())
    if jobs and engine == "cpu":
        members |= {member.id: member for member in train_in_threads(data, jobs, store, tally, workers)}
    elif jobs:
        members |= {
            member.id: member
            for member in train_in_processes(
                engine, data, jobs, store, tally, gpus=gpus, workers=workers, state_uri=state_uri
            )
        }
    return tuple(members[split.id] for split in splits)


def member_key(
    network: Network,
    split: MemberSplit,
    settings: TrainSettings,
    *,
    seed: int,
    dataset_digest: str,
    on_gpu: bool = False,
) -> str:
    """Name of a member in the store: digest of everything that its weights depend on."""
    device = ["gpu"] if on_gpu else []
    return digest_of([ENGINE_VERSION, dataset_digest, split.digest, settings.to_dict(), network.digest, seed, *device])


def _reused(member: Member) -> Member:
    return dataclasses.replace(member, facts=dataclasses.replace(member.facts, reused=True))


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
