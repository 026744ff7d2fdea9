"""Of many connections few begin at a time, of clients in turn, and those of the greediest make way."""

import asyncio

from components.common.limits import BEGINNINGS
from serving.crowd import Beginnings, Room


class One:
    """What ``Room`` and ``Beginnings`` ask of a connection."""

    def __init__(self, caller: str, since: float = 0, *, ready: bool = False, may_end: bool = True) -> None:
        self.caller, self.since, self.ready, self.may_end = caller, since, ready, may_end
        self.loop, self.ended, self.begun = asyncio.get_running_loop(), False, False

    def abort(self) -> None:
        self.ended = True

    def begin(self) -> None:
        self.begun = True


def test_connections_make_way_by_what_their_client_still_has_and_how_long_it_lets_wait():
    async def run() -> None:
        loop, room = asyncio.get_running_loop(), Room(7)
        order = [One("a", 1), One("a", 2), One("a", 0, ready=True), One("b", 5), One("c", 9), One("d", ready=True)]
        at_work = One("a", may_end=False)
        for gone in range(1, 7):
            assert room.make([*order[::-1], at_work], loop)
            assert [one.ended for one in order] == [True] * gone + [False] * (6 - gone)
        at_work.may_end = True
        assert not room.make([*order, at_work], loop)  # not looked for again in this turn
        await asyncio.sleep(0)
        assert room.make([at_work] * 7, loop)
        assert at_work.ended

    asyncio.run(run())


def test_few_requests_begin_in_one_turn_of_the_event_loop_and_clients_in_turn():
    async def run() -> None:
        beginnings = Beginnings()
        many, few, gone = [One("a") for _ in range(100)], [One("b") for _ in range(2)], One("a")
        for one in (gone, *many, *few):
            beginnings.join(one)
        beginnings.leave(gone)
        counts = []
        while not all(one.begun for one in (*many, *few)):
            await asyncio.sleep(0)
            counts.append(sum(one.begun for one in (*many, *few)))
            assert all(one.begun for one in few)  # in the first turn, though they came last
        assert counts == [min(BEGINNINGS * turn, 102) for turn in range(1, len(counts) + 1)]
        assert not gone.begun

    asyncio.run(run())
