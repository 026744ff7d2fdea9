"""Scarce resources are shared: no client gets all while others need some, and one that blocks others is evicted."""

import asyncio

import pytest

from components.common.limits import CLIENT_SHARE_OF_FREE, PATIENCE_SECONDS
from serving.errors import Refused
from serving.quotas import MessageSlots, Quota, client_of


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),  # a client with one address of the network has them all
        ("unix", "unix"),
    ],
)
def test_a_client_is_an_address_or_a_network(host, client):
    assert client_of(host) == client


@pytest.mark.parametrize("total", [9, 64, 900])
def test_a_lone_client_gets_nearly_all_and_leaves_some(total):
    quota = Quota(total)
    while quota.allows("one", 1):
        quota.take("one", 1)
    assert quota.of("one") == total * CLIENT_SHARE_OF_FREE // (CLIENT_SHARE_OF_FREE + 1)
    assert quota.allows("other", total - quota.of("one"))
    assert not quota.allows("other", total - quota.of("one") + 1)


def test_a_client_that_holds_nothing_may_take_the_last():
    quota = Quota(1)
    assert quota.allows("one", 1)
    quota.take("one", 1)
    assert not quota.allows("one", 1)
    assert not quota.allows("other", 1)
    quota.take("one", -1)
    assert quota.allows("other", 1)


async def silent(slots: MessageSlots, client: str = "bad") -> str:
    try:
        async with slots.slot(client, 30):
            await asyncio.sleep(30)
    except Refused as error:
        return error.code
    return "answered"


async def sends(slots: MessageSlots, client: str) -> None:
    async with slots.slot(client, 30):
        await asyncio.sleep(0)


def test_messages_that_do_not_come_are_evicted():
    async def run() -> tuple[float, set[str]]:
        slots, loop = MessageSlots(2, 100), asyncio.get_running_loop()
        bad = [asyncio.create_task(silent(slots)) for _ in range(40)]
        await asyncio.sleep(0)
        began = loop.time()
        for client in ("bad", "good"):  # of the same address too
            await sends(slots, client)
        took = loop.time() - began
        ended = {task.result() for task in bad if task.done()}
        slots.clear()
        assert {await task for task in bad} == {"BUSY"}
        return took, ended

    took, ended = asyncio.run(run())
    assert took < 3 * PATIENCE_SECONDS
    assert ended == {"BUSY"}


def test_no_message_is_evicted_while_none_waits_and_none_is_waited_for_forever():
    async def run() -> None:
        slots = MessageSlots(2, 100)
        tasks = [asyncio.create_task(silent(slots))]
        await asyncio.sleep(0)
        await sends(slots, "good")
        await asyncio.sleep(1.5 * PATIENCE_SECONDS)
        assert not tasks[0].done()
        for _ in range(2):  # one in the second slot, one that waits for it
            with pytest.raises(TimeoutError):
                async with slots.slot("bad", 0.05):
                    await asyncio.sleep(30)
            tasks.append(asyncio.create_task(silent(slots)))
            await asyncio.sleep(0)
        slots.clear()
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_the_call_beyond_those_that_may_wait_ends_the_oldest():
    async def run() -> None:
        slots = MessageSlots(1, 3)
        tasks = [asyncio.create_task(silent(slots)) for _ in range(4)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in tasks)  # the first has the slot
        one_more = asyncio.create_task(silent(slots))
        await asyncio.sleep(0.01)
        assert [task.done() for task in (*tasks, one_more)] == [False, True, False, False, False]
        slots.clear()
        await asyncio.gather(*tasks, one_more)

    asyncio.run(run())
