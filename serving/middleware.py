"""What happens to every request over REST, whatever answers it."""

import asyncio
from typing import Any

from components.common.limits import BEGINNINGS
from components.common.pages import REPLY_HEADERS
from serving.shares import Turns, client_of

_HEADERS = [(name.lower().encode(), value.encode()) for name, value in REPLY_HEADERS.items()]


class InTurn:
    """ASGI middleware by which one turn of the event loop begins few requests, of clients in turn.

    Each begins within a millisecond, but hundreds of connections with one request behind the other would hold up
    the event loop, and with it all that waits for its next turn.
    """

    def __init__(self, app: Any) -> None:
        self._app, self._turns = app, Turns(BEGINNINGS)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Calls the application when it is the client's turn."""
        client = scope.get("client")
        await self._turns.wait(client_of(client[0] if client else ""))
        asyncio.get_running_loop().call_soon(self._turns.release)
        await self._app(scope, receive, send)


class WithHeaders:
    """ASGI middleware that adds ``REPLY_HEADERS`` to each reply."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Calls the application."""

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_headers)
