"""Who is next: callers in turn, and whoever gives up leaves at once."""

import asyncio
import threading

from serving.shares import Progress
from serving.turns import FairPool, Turns


def test_turns_go_round_among_lanes():
    async def run() -> list[str]:
        turns, order = Turns(1), []
        await turns.wait("busy")

        async def one(lane: str, name: str) -> None:
            await turns.wait(lane)
            order.append(name)
            turns.release()

        names = [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")]
        tasks = [asyncio.create_task(one(*name)) for name in names]
        await asyncio.sleep(0)
        turns.release()
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(run()) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_turn_that_is_given_up_goes_to_the_next():
    async def run() -> None:
        turns = Turns(1)
        await turns.wait("a")
        given_up, late, other = (asyncio.create_task(turns.wait(lane)) for lane in ("a", "a", "b"))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.sleep(0)
        turns.release()  # to late: given_up waits no longer
        late.cancel()  # in the same moment
        await asyncio.wait_for(other, 1)

    asyncio.run(run())


def test_a_thread_ends_what_it_has_begun_and_who_gives_up_waiting_leaves():
    async def run() -> list[str]:
        progress, begun, done, order = Progress(), threading.Event(), threading.Event(), []
        pool = FairPool(1, "test", progress)

        def work(name: str) -> None:
            order.append(name)
            begun.set()
            done.wait(10)

        first, second, given_up, last = (asyncio.create_task(pool.run(name, work, name)) for name in "1234")
        await asyncio.to_thread(begun.wait)
        for task in (first, given_up):
            task.cancel()
        await asyncio.sleep(0.02)
        assert progress.stuck_seconds > 0.01  # the first goes on without its caller
        done.set()
        await asyncio.gather(second, last)
        pool.drain()
        assert progress.stuck_seconds == 0
        return order

    assert asyncio.run(run()) == ["1", "2", "4"]
