"""What happens to every request over REST."""

import asyncio

from components.common.limits import BEGINNINGS
from serving.middleware import InTurn


def test_few_requests_begin_in_one_turn_of_the_event_loop_and_clients_in_turn():
    begun: list[list[str]] = []

    async def application(scope, _receive, _send):
        begun[-1].append(scope["client"][0])

    async def run() -> None:
        middleware = InTurn(application)
        clients = ["127.0.0.1"] * 100 + ["127.0.0.2"] * 2
        tasks = [asyncio.create_task(middleware({"client": (client, 1)}, None, None)) for client in clients]
        while not all(task.done() for task in tasks):
            begun.append([])
            await asyncio.sleep(0)

    asyncio.run(run())
    assert sum(map(len, begun)) == 102
    assert max(map(len, begun)) <= BEGINNINGS
    first = [client for turn in begun for client in turn]
    assert first[:BEGINNINGS] == ["127.0.0.1"] * BEGINNINGS
    assert first[BEGINNINGS : BEGINNINGS + 4].count("127.0.0.2") == 2


def test_a_request_without_a_client_is_answered():
    async def run() -> None:
        await asyncio.wait_for(InTurn(nothing)({"client": None}, None, None), 1)
        await asyncio.wait_for(InTurn(nothing)({}, None, None), 1)

    async def nothing(*_given) -> None:
        pass

    asyncio.run(run())
