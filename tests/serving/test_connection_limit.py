"""Few requests start at a time, round-robin among clients; at the limit the client with the most loses connections."""

import asyncio

from components.common.limits import REQUEST_STARTS
from serving.connection_limit import ConnectionLimit, StartQueue


class One:
    """A connection as ``ConnectionLimit`` and ``StartQueue`` need it."""

    def __init__(self, caller: str, since: float = 0, *, ready: bool = False, may_end: bool = True) -> None:
        self.caller, self.since, self.ready, self.may_end = caller, since, ready, may_end
        self.loop, self.ended, self.started = asyncio.get_running_loop(), False, False

    def abort(self) -> None:
        self.ended = True

    def start_request(self) -> None:
        self.started = True


def test_connections_are_closed_by_what_their_client_still_has_and_how_long_the_server_waits_for_it():
    async def run() -> None:
        loop, limit = asyncio.get_running_loop(), ConnectionLimit(7)
        order = [One("a", 1), One("a", 2), One("a", 0, ready=True), One("b", 5), One("c", 9), One("d", ready=True)]
        at_work = One("a", may_end=False)
        for gone in range(1, 7):
            assert limit.admit([*order[::-1], at_work], loop)
            assert [one.ended for one in order] == [True] * gone + [False] * (6 - gone)
        at_work.may_end = True
        assert not limit.admit([*order, at_work], loop)  # not computed again in this iteration
        await asyncio.sleep(0)
        assert limit.admit([at_work] * 7, loop)
        assert at_work.ended

    asyncio.run(run())


def test_few_requests_start_in_one_iteration_of_the_event_loop_round_robin_among_clients():
    async def run() -> None:
        starts = StartQueue()
        many, few, gone = [One("a") for _ in range(100)], [One("b") for _ in range(2)], One("a")
        for one in (gone, *many, *few):
            starts.add(one)
        starts.remove(gone)
        counts = []
        while not all(one.started for one in (*many, *few)):
            await asyncio.sleep(0)
            counts.append(sum(one.started for one in (*many, *few)))
            assert all(one.started for one in few)  # in the first iteration, though they came last
        assert counts == [min(REQUEST_STARTS * done, 102) for done in range(1, len(counts) + 1)]
        assert not gone.started

    asyncio.run(run())
