"""Runs millions of generated requests: ``make fuzz COUNT=1000000 SEED=1 START=0``.

The requests are sent in another process, which is killed if a request does not end, and restarted with the next
request. Each finding gives the number that reproduces it: ``SEED=1 START=4711 COUNT=1``. Then one fiftieth as many
hostile requests are sent over sockets to a real server.
"""

import argparse
import asyncio
import logging
import multiprocessing
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.components.model.bundles import make_bundle
from tests.serving.attacks import attack, memory_mb
from tests.serving.conftest import running
from tests.serving.fuzz.entry_points import EntryPoints
from tests.serving.fuzz.generate import Generator
from tests.serving.fuzz.judge import Watch, fault_of

#: Seconds without an answer after which a request counts as one that never ends.
HANGS_AFTER_SECONDS = 60
#: Seconds in which a worker has imported everything.
STARTS_WITHIN_SECONDS = 60
#: Requests between two reports of a worker.
REPORTED_EVERY = 500
#: Over sockets, requests for each that is asked in the process.
SHARE_OVER_SOCKETS = 50


def main() -> int:
    """Runs the requests; exit code 1 if there is a finding."""
    parser = argparse.ArgumentParser(description="generated requests: documented answers only")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--start", type=int, default=0)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, requests {arguments.start} to {arguments.start + arguments.count - 1}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        make_bundle(Path(folder) / "bundle")
        findings = hunt(Path(folder) / "bundle", arguments.seed, arguments.start, arguments.count, ask_all)
        _over_sockets(Path(folder), arguments.seed, arguments.count // SHARE_OVER_SOCKETS)
    print("no finding" if not findings else f"{len(findings)} kinds of findings")
    return bool(findings)


def hunt(bundle: Path, seed: int, start: int, count: int, work: Callable[..., None]) -> dict[str, list[int]]:
    """Faults of ``count`` requests sent by ``work``, each with the numbers of the requests that caused it."""
    findings: dict[str, list[int]] = {}
    replies: Counter[str] = Counter()
    end, began, next_report = start + count, time.monotonic(), 0.0
    while start < end:
        worker = _Worker(work, bundle, seed, start, end)
        for number, faults, counts in worker.reports():
            start = number + 1
            replies.update(counts)
            for fault in faults:
                _note(findings, fault, number, seed)
            if time.monotonic() > next_report:
                next_report = time.monotonic() + 30
                print(f"{start:,} of {end:,} in {time.monotonic() - began:.0f} s, {worker.memory_mb()} MB", flush=True)
    for kind, times in sorted(replies.items()):
        print(f"  {times:9,} {kind}")
    return findings


def _note(findings: dict[str, list[int]], fault: str, number: int, seed: int) -> None:
    if fault not in findings:
        print(f"FINDING {fault}\n  again by: make fuzz SEED={seed} START={number} COUNT=1", flush=True)
    findings.setdefault(fault, []).append(number)


class _Worker:
    """A process that sends requests; if it dies or hangs, it is ended and the current request has a fault."""

    def __init__(self, work: Callable[..., None], bundle: Path, seed: int, start: int, end: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._at = spawn.Value("q", start, lock=False)
        self._here, there = spawn.Pipe(duplex=False)
        self._process = spawn.Process(target=work, args=(bundle, seed, start, end, self._at, there), daemon=True)
        self._process.start()
        there.close()

    def memory_mb(self) -> int:
        """Resident memory now."""
        return memory_mb(self._process.pid) if self._process.is_alive() else 0

    def reports(self) -> Any:
        """Number of the last request, its faults, and the replies since the last report by kind."""
        last, since = self._at.value, time.monotonic() + STARTS_WITHIN_SECONDS
        while True:
            if self._here.poll(1.0):
                try:
                    yield self._here.recv()
                except EOFError:
                    self._process.join()
                    if self._process.exitcode:
                        yield self._at.value, [f"the process died ({self._process.exitcode})"], {}
                    return
            if self._at.value != last:
                last, since = self._at.value, time.monotonic()
            elif time.monotonic() > since + HANGS_AFTER_SECONDS:
                self._process.kill()
                self._process.join()
                yield last, ["no answer"], {}
                return


def ask_all(bundle: Path, seed: int, start: int, end: int, at: Any, out: Connection) -> None:
    """Sends the requests from ``start`` to before ``end``, with the current number in ``at``; reports to ``out``."""
    logging.getLogger("kserve").setLevel(logging.CRITICAL)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")  # as the server itself does
    asyncio.run(_ask(bundle, seed, range(start, end), at, out))


async def _ask(bundle: Path, seed: int, numbers: range, at: Any, out: Connection) -> None:
    entry_points, generator, watch = EntryPoints(bundle), Generator(seed), Watch()
    replies: Counter[str] = Counter()
    for number in numbers:
        request = generator.make(number)
        at.value = number
        with watch.one() as faults:
            try:
                reply = await entry_points.ask(request)
                faults += filter(None, [fault_of(request, reply)])
                replies[f"{request.kind}: {reply.status} {reply.code}"] += 1
            except Exception as error:
                faults.append(f"left the application: {type(error).__name__}")
        if faults or (number + 1) % REPORTED_EVERY == 0 or number == numbers[-1]:
            out.send((number, [f"{request.kind}: {fault}" for fault in faults], dict(replies)))
            replies.clear()
    out.close()


def _over_sockets(folder: Path, seed: int, count: int) -> None:
    if not count:
        return
    with running(folder / "bundle", folder) as server:
        statuses = attack(server, count, seed)
        print(f"over sockets: {dict(statuses)}, {memory_mb(server.process.pid)} MB")


if __name__ == "__main__":
    sys.exit(main())
