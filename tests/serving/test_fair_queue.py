"""Callers are served round-robin, and a caller that gives up leaves the queue at once."""

import asyncio
import threading

from serving.fair_queue import FairPool, FairSemaphore, Progress


def test_lanes_are_served_round_robin():
    async def run() -> list[str]:
        permits, order = FairSemaphore(1), []
        await permits.acquire("busy")

        async def one(lane: str, name: str) -> None:
            await permits.acquire(lane)
            order.append(name)
            permits.release()

        names = [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")]
        tasks = [asyncio.create_task(one(*name)) for name in names]
        await asyncio.sleep(0)
        permits.release()
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(run()) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_permit_that_is_given_up_goes_to_the_next():
    async def run() -> None:
        permits = FairSemaphore(1)
        await permits.acquire("a")
        given_up, late, other = (asyncio.create_task(permits.acquire(lane)) for lane in ("a", "a", "b"))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.sleep(0)
        permits.release()  # to late: given_up waits no longer
        late.cancel()  # in the same moment
        await asyncio.wait_for(other, 1)

    asyncio.run(run())


def test_a_thread_finishes_a_started_job_and_a_caller_that_gives_up_leaves_the_queue():
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
        assert progress.stuck_seconds > 0.01  # the first continues without its caller
        done.set()
        await asyncio.gather(second, last)
        pool.drain()
        assert progress.stuck_seconds == 0
        return order

    assert asyncio.run(run()) == ["1", "2", "4"]


def test_stuck_seconds_count_from_the_first_job_or_the_last_one_finished(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress()
    now[0] += 1000
    assert progress.stuck_seconds == 0  # idle
    progress.begun()
    now[0] += 10
    progress.begun()
    assert progress.stuck_seconds == 10
    progress.ended()
    assert progress.stuck_seconds == 0
    now[0] += 5
    assert progress.stuck_seconds == 5
    progress.ended()
    assert progress.stuck_seconds == 0
