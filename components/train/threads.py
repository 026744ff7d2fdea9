"""Trains members on the cores of this process, one thread each, by the compiled loops of ``arithmetic``.

Each member is computed on one thread, and no array's shape depends on the pack, so that its bits do not either.
"""

import concurrent.futures as futures
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from components.common.artifacts.members import Member
from components.common.processors import processors
from components.common.steps import ends_on_sigterm
from components.train.arithmetic import Arithmetic, Rows
from components.train.convolution import Floats
from components.train.jobs import PROGRESS_EVERY_S, STATE_EVERY_S, Data, Job, Stopped, Tally
from components.train.member_store import MemberStore
from components.train.protocol import Verdict
from components.train.training import MemberTraining

#: Tumours in one forward pass, which limits its memory.
ANSWER_CHUNK = 32


def train_in_threads(
    data: Data, jobs: Sequence[Job], store: MemberStore | None, tally: Tally, workers: int | None = None
) -> list[Member]:
    """Trains ``workers`` members at a time; on a failure or SIGTERM the others save their state and stop."""
    arithmetic = Arithmetic(data.network, data.crops, data.labels, data.settings)

    def train(job: Job) -> Member:
        return _train(data.training(job.split, arithmetic.orientations), arithmetic, job.key, store, tally)

    with threadpool_limits(1, "blas"), futures.ThreadPoolExecutor(workers or processors()) as threads:
        # An exception while a job is submitted would leave a thread that the pool does not know and never waits for.
        running = [threads.submit(train, job) for job in jobs]
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


def _train(
    training: MemberTraining, arithmetic: Arithmetic, key: str, store: MemberStore | None, tally: Tally
) -> Member:
    """Trains one member to its end, starting from its stored state if there is one."""
    if store and (state := store.get_state(key)):
        training.resume(state)
    started = saved = time.monotonic()
    while (verdict := _to_next_check(training, arithmetic)) is not Verdict.STOP:
        tally.record(training.course.checks[-1], verdict)
        stopping = tally.stop.is_set()
        if store and (stopping or time.monotonic() - saved >= STATE_EVERY_S):
            store.put_state(key, training.state())
            saved = time.monotonic()
        if stopping:
            raise Stopped
    tally.record(training.course.checks[-1], verdict)
    logits = _logits(arithmetic, training.best, np.arange(len(arithmetic.labels), dtype=np.int32))
    seconds = time.monotonic() - started
    member = training.finished(logits, seconds=seconds, key=key, determinism=arithmetic.determinism)
    if store:
        store.put(key, member)
    return member


def _to_next_check(training: MemberTraining, arithmetic: Arithmetic) -> Verdict:
    sgd, loss = arithmetic.train(training.sgd, *training.interval(), training.class_weights)
    return training.checked(sgd, loss, _logits(arithmetic, sgd.average, training.validation))


def _logits(arithmetic: Arithmetic, weights: Floats, rows: Rows) -> NDArray[np.float32]:
    chunks = [rows[first : first + ANSWER_CHUNK] for first in range(0, len(rows), ANSWER_CHUNK)]
    return np.concatenate([arithmetic.answer(weights, chunk) for chunk in chunks])
