"""How what is scarce is divided: nobody gets all while others ask, and who keeps others waiting makes way."""

import asyncio

import pytest

from components.common.limits import PATIENCE_SECONDS, SHARE_ALPHA
from serving.errors import Refused
from serving.shares import Places, Share, client_of


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
