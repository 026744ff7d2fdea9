"""Adds headers to every reply over REST."""

from collections.abc import Callable
from typing import Any

from components.common.pages import REPLY_HEADERS

_HEADERS = [(name.lower().encode(), value.encode()) for name, value in REPLY_HEADERS.items()]
_CLOSE = [(b"connection", b"close")]


class WithHeaders:
    """ASGI middleware that adds ``REPLY_HEADERS`` to each reply.

    While the server is ``closing``, each reply also tells its caller to close the connection and use another server.
    """

    def __init__(self, app: Any, closing: Callable[[], bool]) -> None:
        self._app, self._closing = app, closing

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Calls the application."""

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS, *(_CLOSE if self._closing() else ())]
            await send(message)

        await self._app(scope, receive, send_with_headers)
