"""The headers that every reply over REST carries, whatever answers it."""

from typing import Any

from components.common.pages import REPLY_HEADERS

_HEADERS = [(name.lower().encode(), value.encode()) for name, value in REPLY_HEADERS.items()]


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
