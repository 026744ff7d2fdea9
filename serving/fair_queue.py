"""Decides which waiting request is served next: round-robin among callers. Everything runs on the event loop."""

import asyncio
import collections
import concurrent.futures
import time
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """A round-robin queue: first in, first out within a lane, and one from each lane in turn."""

    def __init__(self) -> None:
        self._lanes: collections.OrderedDict[Hashable, collections.OrderedDict[T, None]] = collections.OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def add(self, lane: Hashable, one: T) -> None:
        """Appends an entry to its lane; one that is there already stays where it is."""
        self._lanes.setdefault(lane, collections.OrderedDict()).setdefault(one)

    def remove(self, lane: Hashable, one: T) -> None:
        """Removes an entry, if it is there."""
        if waiting := self._lanes.get(lane):
            waiting.pop(one, None)
            if not waiting:
                del self._lanes[lane]

    def pop(self) -> T:
        """Removes and returns the next entry; its lane moves behind the others."""
        lane, waiting = self._lanes.popitem(last=False)
        one, _ = waiting.popitem(last=False)
        if waiting:
            self._lanes[lane] = waiting
        return one


class FairSemaphore:
    """A semaphore whose waiters are served round-robin among lanes."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    async def acquire(self, lane: Hashable) -> None:
        """Waits for a permit, which ``release`` gives back."""
        if self._free:
            self._free -= 1
            return
        permit = asyncio.get_running_loop().create_future()
        self._waiting.add(lane, permit)
        try:
            await permit
        except asyncio.CancelledError:
            self._waiting.remove(lane, permit)
            if not permit.cancelled():  # it was granted in the same moment
                self.release()
            raise

    def release(self) -> None:
        """Gives a permit back, to the next waiter if there is one."""
        self._free += 1
        while self._free and self._waiting:
            permit = self._waiting.pop()
            if not permit.done():
                self._free -= 1
                permit.set_result(None)


class Progress:
    """Counts started and finished work of the thread pools, to detect that none finishes; on the event loop."""

    def __init__(self) -> None:
        self._open, self._since = 0, 0.0

    def begun(self) -> None:
        """One more job has started."""
        if not self._open:
            self._since = time.monotonic()
        self._open += 1

    def ended(self) -> None:
        """A job has finished, with or without an error."""
        self._open -= 1
        self._since = time.monotonic()

    @property
    def stuck_seconds(self) -> float:
        """Seconds in which no job has finished although there are some."""
        return time.monotonic() - self._since if self._open else 0.0


class FairPool:
    """Threads that take work round-robin among callers.

    A caller that gives up waiting leaves the queue at once. A thread finishes the job that it has started even if
    its caller is gone, and holds its permit until then, so that there are never more jobs in threads than permits.

    Parameters
    ----------
    workers
        Number of threads; one more job is passed to them, so that no thread waits for the event loop to pass the next.
    name
        Name of the threads.
    progress
        Counts started and finished jobs.
    """

    def __init__(self, workers: int, name: str, progress: Progress) -> None:
        self._threads = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._permits, self._progress = FairSemaphore(workers + 1), progress

    async def run(self, lane: Hashable, function: Callable[..., T], *given: Any) -> T:
        """Calls ``function`` in a thread when it is the lane's turn, and returns its result."""
        await self._permits.acquire(lane)
        self._progress.begun()
        work = asyncio.get_running_loop().run_in_executor(self._threads, function, *given)
        work.add_done_callback(self._ended)
        return await asyncio.shield(work)

    def drain(self) -> None:
        """Waits for the jobs that have started."""
        self._threads.shutdown(wait=True)

    def _ended(self, _: object) -> None:
        self._progress.ended()
        self._permits.release()
