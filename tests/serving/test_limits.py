"""Admission: bodies by their bytes, complete requests by slots, and jobs round-robin."""

import asyncio

import pytest

from components.common.errors import InputError, SrsError
from components.common.limits import LARGE_BODY_BYTES, PACE_BYTES, PATIENCE_SECONDS
from serving import limits
from serving.limits import Admission, Limits, Load

LIMITS = Limits(seconds=30)


async def coming(admission: Admission, count: int, client: str = "bad", seconds: float = 30) -> str:
    """A body that stops after ``count`` bytes."""
    try:
        with admission.request(client) as ticket:
            async with ticket.receiving(Limits(seconds=seconds)):
                ticket.hold(count)
                await asyncio.sleep(30)
    except SrsError as error:
        return error.code
    return "whole"


def test_slow_bodies_take_no_slot():
    async def run() -> None:
        admission = Admission(Load(most_requests=1))
        slow = [asyncio.create_task(coming(admission, 1)) for _ in range(100)]
        await asyncio.sleep(0)
        with admission.request("bad") as ticket:
            ticket.take_slot()
        admission.refuse_coming()
        assert {await task for task in slow} == {"BUSY"}

    asyncio.run(run())


def test_a_slow_body_is_evicted_for_another():
    async def run() -> None:
        admission = Admission(Load(most_bytes=1000))
        slow = [asyncio.create_task(coming(admission, 400, client)) for client in ("bad", "other")]
        await asyncio.sleep(0)
        with admission.request("bad") as ticket, pytest.raises(SrsError) as refused:
            ticket.hold(300)  # none is slow yet
        assert refused.value.code == "BUSY"
        await asyncio.sleep(1.1 * PATIENCE_SECONDS)
        with admission.request("good") as ticket:
            ticket.hold(200)
            ticket.hold(100)
            assert [task.done() for task in slow] == [False, False]
            assert await asyncio.wait_for(slow[0], 1) == "BUSY"  # it came first
            assert not slow[1].done()
        slow[1].cancel()

    asyncio.run(run())


def test_bytes_are_refused_beyond_the_last():
    async def run() -> None:
        admission = Admission(Load(most_bytes=1000))
        with admission.request("one") as ticket:
            ticket.hold(1000)
        with admission.request("one") as ticket, pytest.raises(SrsError) as refused:
            ticket.hold(1001)
        assert refused.value.code == "BUSY"

    asyncio.run(run())


def test_a_body_must_keep_the_pace(monkeypatch):
    monkeypatch.setattr(limits, "PACE_SECONDS", 0.2)

    async def body(count: int) -> str:
        with admission.request("one") as ticket:
            async with ticket.receiving(LIMITS):
                for _ in range(5):
                    await asyncio.sleep(0.1)
                    ticket.hold(count)
        return "whole"

    admission = Admission(Load())
    assert asyncio.run(body(PACE_BYTES)) == "whole"
    with pytest.raises(InputError) as refused:
        asyncio.run(body(PACE_BYTES // 4))
    assert refused.value.code == "BODY_SLOW"
    assert "64 KiB" in refused.value.safe_message
    assert asyncio.run(coming(admission, PACE_BYTES, seconds=0.05)) == "BODY_SLOW"


def test_slots_are_for_complete_bodies_and_are_returned():
    async def run() -> None:
        admission = Admission(Load(most_requests=2))
        with admission.request("one") as first, admission.request("one") as second:
            first.take_slot()
            assert admission.at_work == 1
            with pytest.raises(SrsError) as refused:
                second.take_slot()  # the last is another client's
            assert refused.value.code == "BUSY"
            with admission.request("other") as third:
                third.take_slot()
                with pytest.raises(SrsError) as refused, admission.request("new"):
                    pass  # refused before its body is read
                assert refused.value.code == "BUSY"
        assert admission.at_work == 0

    asyncio.run(run())


def test_large_bodies_wait_in_their_own_lane():
    async def run() -> list:
        admission, lanes = Admission(Load()), []
        for client, size in (("one", LARGE_BODY_BYTES - 1), ("one", 0), ("one", LARGE_BODY_BYTES), ("other", 0)):
            with admission.request(client) as ticket:
                ticket.hold(size)
                lanes.append(ticket.lane)
        return lanes

    small, same, large, other = asyncio.run(run())
    assert small == same
    assert len({small, large, other}) == 3
