"""The headers of every reply over REST."""

import asyncio

import pytest

from components.common.pages import REPLY_HEADERS
from serving.headers import WithHeaders


@pytest.mark.parametrize("closing", [False, True])
def test_each_reply_has_them_and_closes_the_connection_while_the_server_is_closing(closing):
    sent = []

    async def application(_scope, _receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b""})

    async def keep(message) -> None:
        sent.append(message)

    asyncio.run(WithHeaders(application, lambda: closing)({}, None, keep))
    names = {name.decode() for name, _ in sent[0]["headers"]}
    assert names == {"a", *map(str.lower, REPLY_HEADERS)} | ({"connection"} if closing else set())
    assert "headers" not in sent[1]
