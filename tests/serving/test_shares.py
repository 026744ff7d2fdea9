"""How what is scarce is divided: nobody gets all while others ask, and who keeps others waiting makes way."""

import asyncio
import threading

import pytest

from components.common.limits import PATIENCE_SECONDS, SHARE_ALPHA
from serving.errors import Refused
from serving.shares import FairPool, Places, Progress, Share, Turns, client_of


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),  # whoever has one address there has them all
        ("unix", "unix"),
    ],
)
def test_a_client_is_an_address_or_a_network(host, client):
    assert client_of(host) == client


@pytest.mark.parametrize("total", [9, 64, 900])
def test_a_lone_client_gets_nearly_all_and_leaves_some(total):
    share = Share(total)
    while share.allows("one", 1):
        share.take("one", 1)
    assert share.of("one") == total * SHARE_ALPHA // (SHARE_ALPHA + 1)
    assert share.allows("other", total - share.of("one"))
    assert not share.allows("other", total - share.of("one") + 1)


def test_who_holds_nothing_may_take_the_last():
    share = Share(1)
    assert share.allows("one", 1)
    share.take("one", 1)
    assert not share.allows("one", 1)
    assert not share.allows("other", 1)
    share.take("one", -1)
    assert share.allows("other", 1)


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


async def silent(places: Places, client: str = "bad") -> str:
    try:
        async with places.place(client, 30):
            await asyncio.sleep(30)
    except Refused as error:
        return error.code
    return "answered"


async def sends(places: Places, client: str) -> None:
    async with places.place(client, 30):
        await asyncio.sleep(0)


def test_messages_that_do_not_come_make_way():
    async def run() -> tuple[float, set[str]]:
        places, loop = Places(2, 100), asyncio.get_running_loop()
        bad = [asyncio.create_task(silent(places)) for _ in range(40)]
        await asyncio.sleep(0)
        began = loop.time()
        for client in ("bad", "good"):  # of the same address too
            await sends(places, client)
        took = loop.time() - began
        ended = {task.result() for task in bad if task.done()}
        places.clear()
        assert {await task for task in bad} == {"BUSY"}
        return took, ended

    took, ended = asyncio.run(run())
    assert took < 3 * PATIENCE_SECONDS
    assert ended == {"BUSY"}


def test_no_message_makes_way_while_none_waits_and_none_is_waited_for_without_end():
    async def run() -> None:
        places = Places(2, 100)
        tasks = [asyncio.create_task(silent(places))]
        await asyncio.sleep(0)
        await sends(places, "good")
        await asyncio.sleep(1.5 * PATIENCE_SECONDS)
        assert not tasks[0].done()
        for _ in range(2):  # one in the second place, one that waits for it
            with pytest.raises(TimeoutError):
                async with places.place("bad", 0.05):
                    await asyncio.sleep(30)
            tasks.append(asyncio.create_task(silent(places)))
            await asyncio.sleep(0)
        places.clear()
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_the_call_beyond_those_that_may_wait_ends_the_oldest():
    async def run() -> None:
        places = Places(1, 3)
        tasks = [asyncio.create_task(silent(places)) for _ in range(4)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in tasks)  # the first has the place
        one_more = asyncio.create_task(silent(places))
        await asyncio.sleep(0.01)
        assert [task.done() for task in (*tasks, one_more)] == [False, True, False, False, False]
        places.clear()
        await asyncio.gather(*tasks, one_more)

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


def test_progress_is_told_by_what_is_finished(monkeypatch):
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
