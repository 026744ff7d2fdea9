"""Who is next: fair turns among callers. All of it runs on the event loop."""

import asyncio
import collections
import concurrent.futures
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from serving.shares import Progress

T = TypeVar("T")


class Lanes(Generic[T]):
    """What waits for its turn: in each lane in the order of coming, and the lanes in turn."""

    def __init__(self) -> None:
        self._lanes: collections.OrderedDict[Hashable, collections.OrderedDict[T, None]] = collections.OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def add(self, lane: Hashable, one: T) -> None:
        """Puts one last in its lane, or leaves it where it is there."""
        self._lanes.setdefault(lane, collections.OrderedDict()).setdefault(one)

    def remove(self, lane: Hashable, one: T) -> None:
        """Takes one out where it is there."""
        if waiting := self._lanes.get(lane):
            waiting.pop(one, None)
            if not waiting:
                del self._lanes[lane]

    def pop(self) -> T:
        """The next; its lane goes on behind the others."""
        lane, waiting = self._lanes.popitem(last=False)
        one, _ = waiting.popitem(last=False)
        if waiting:
            self._lanes[lane] = waiting
        return one


class Turns:
    """Who works next, of those who wait for it."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: Lanes[asyncio.Future[None]] = Lanes()

    async def wait(self, lane: Hashable) -> None:
        """Returns when it is one's turn, which ``release`` ends."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.add(lane, turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._waiting.remove(lane, turn)
            if not turn.cancelled():  # the turn came in the same moment
                self.release()
            raise

    def release(self) -> None:
        """Gives the place to the next."""
        self._free += 1
        while self._free and self._waiting:
            turn = self._waiting.pop()
            if not turn.done():
                self._free -= 1
                turn.set_result(None)


class FairPool:
    """Threads that take work in fair turns among callers.

    Who gives up waiting leaves its turn at once. What a thread has begun it ends, whatever becomes of its caller, and
    keeps its turn until then: so there is never more in the threads than this.

    Parameters
    ----------
    workers
        Threads; one piece of work more is begun, so that none is idle until the event loop hands it the next.
    name
        Of the threads.
    progress
        Told what is begun and finished.
    """

    def __init__(self, workers: int, name: str, progress: Progress) -> None:
        self._threads = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._turns, self._progress = Turns(workers + 1), progress

    async def run(self, lane: Hashable, function: Callable[..., T], *given: Any) -> T:
        """What ``function`` gives in a thread, when it is the lane's turn."""
        await self._turns.wait(lane)
        self._progress.begun()
        work = asyncio.get_running_loop().run_in_executor(self._threads, function, *given)
        work.add_done_callback(self._ended)
        return await asyncio.shield(work)

    def drain(self) -> None:
        """Waits for the work that was begun."""
        self._threads.shutdown(wait=True)

    def _ended(self, _: object) -> None:
        self._progress.ended()
        self._turns.release()
