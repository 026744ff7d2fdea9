"""The predictor's server: configured addresses, its own routes, and a shutdown that loses no accepted request."""

import asyncio
import contextlib
import dataclasses
import logging
import math
import os
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from components.common import contained, defaults
from components.common.errors import InputError
from components.common.limits import (
    ACCEPTS,
    BACKLOG,
    CONNECTIONS,
    DESCRIPTORS_KEPT,
    GRPC_CONNECTIONS,
    HEAD_SECONDS,
    IDLE_SECONDS,
    PATIENCE_SECONDS,
)
from serving import rpc, telemetry
from serving.connection import bounded_connection
from serving.limits import Admission, Limits, Load
from serving.plane import Plane
from serving.predictor import Predictor
from serving.rest import RestEndpoints

log = logging.getLogger(__name__)

#: Exit code if an accepted request was not answered within the grace period.
UNFINISHED = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Host and ports to listen on; ``grpc_port`` None: no gRPC; port 0: any free port."""

    host: str = defaults.HOST
    http_port: int = defaults.HTTP_PORT
    grpc_port: int | None = None


class Uvicorn(uvicorn.Server):
    """Leaves signals to ``PredictorServer``, which also stops gRPC; closes connections that wait too long."""

    #: Longest wait for any caller, in seconds.
    patience = math.inf

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Installs no handler."""
        yield

    async def close_late(self) -> None:
        """Each second, closes the connections that have waited too long for their callers."""
        while True:
            await asyncio.sleep(1)
            for connection in list(self.server_state.connections):
                connection.close_if_late(self.patience)  # type: ignore[union-attr]


class PredictorServer:
    """Serves one predictor over REST and gRPC until SIGTERM or SIGINT.

    Parameters
    ----------
    model
        Becomes ready as soon as all ports are open.
    address
        Host and ports to listen on.
    limits
        Limits of bodies and messages.
    load
        Limits of all requests together, and time limits of the shutdown.
    """

    def __init__(self, model: Predictor, address: Address, limits: Limits, load: Load) -> None:
        self.model = model
        self._address, self._limits, self._load = address, limits, load
        self._plane, self._admission = Plane(model, limits, load.stuck_seconds), Admission(load)

    def run(self) -> None:
        """Serves; returns when everything accepted is answered and all ports are closed.

        If that takes longer than the grace period, the process exits here with the code ``UNFINISHED``.

        Raises
        ------
        InputError
            ``PORT_IN_USE``.
        """
        listener = _listen(self._address.host, self._address.http_port)
        try:
            asyncio.run(self._serve_until_signal(listener))
        finally:
            listener.close()

    async def _serve_until_signal(self, listener: socket.socket) -> None:
        loop, lingers = asyncio.get_running_loop(), asyncio.Queue[float]()
        loop.set_exception_handler(telemetry.LoopErrors())
        for number, seconds in ((signal.SIGTERM, self._load.linger_seconds), (signal.SIGINT, 0.0)):
            loop.add_signal_handler(number, lingers.put_nowait, seconds)
        grpc_server, rest = await self._start_grpc(), self._rest()
        serving, closing = asyncio.create_task(rest.serve(sockets=[listener])), asyncio.create_task(rest.close_late())
        while not rest.started and not serving.done():
            await asyncio.sleep(0.005)
        listener.listen(BACKLOG)  # asyncio uses the number that it accepts in one iteration as backlog
        self.model.ready = True
        _report_ready(self.model, listener, self._address)
        signalled = asyncio.create_task(lingers.get())
        await asyncio.wait([serving, signalled], return_when=asyncio.FIRST_COMPLETED)
        await self._linger(signalled.result() if signalled.done() else 0.0)
        rest.should_exit = True
        loop.call_later(self._load.grace_seconds / 2, self._cut_off_callers, rest, grpc_server)
        try:
            async with asyncio.timeout(self._load.grace_seconds):
                await asyncio.gather(serving, *([grpc_server.stop(self._load.grace_seconds)] if grpc_server else []))
                while self._admission.at_work:
                    await asyncio.sleep(0.05)
                await asyncio.to_thread(self.model.drain)
        except TimeoutError:
            self._end_at_once(len(rest.server_state.connections))
        closing.cancel()
        log.info("stopped")

    def _end_at_once(self, connections: int) -> None:
        """A normal exit would wait for the threads that are still working, possibly for ever."""
        unfinished = self._admission.at_work
        log.error(
            "stopped after the grace period", extra={"fields": {"requests": unfinished, "connections": connections}}
        )
        contained.close()
        os._exit(UNFINISHED if unfinished else 0)

    async def _linger(self, seconds: float) -> None:
        """Keeps serving, but is not ready and closes each connection after its next reply."""
        self.model.ready, self._admission.closing = False, True
        telemetry.READY.set(0)
        log.info("draining")
        await asyncio.sleep(seconds)

    def _cut_off_callers(self, rest: Uvicorn, grpc_server: rpc.Server | None) -> None:
        """The rest of the grace period is for accepted requests: callers that still send or do not read are cut off."""
        rest.patience = PATIENCE_SECONDS
        self._admission.refuse_coming()
        if grpc_server:
            grpc_server.refuse_coming()

    def _rest(self) -> Uvicorn:
        app = RestEndpoints(self._plane, self._admission, self._limits).application()
        most, seconds = _connections()[0], self._limits.seconds
        config = uvicorn.Config(
            app,
            http=bounded_connection(most, min(seconds, HEAD_SECONDS), seconds),
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            proxy_headers=False,  # a caller could claim any address
            backlog=ACCEPTS,
            timeout_keep_alive=IDLE_SECONDS,
        )
        return Uvicorn(config)

    async def _start_grpc(self) -> rpc.Server | None:
        if self._address.grpc_port is None:
            return None
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        address = f"{host}:{self._address.grpc_port}"
        server = rpc.Server(self._plane, self._admission, address, self._limits, _connections()[1])
        await server.start()
        return server


def _connections() -> tuple[int, int]:
    """How many connections there may be over HTTP, and over gRPC, with the descriptors that the process may have."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    free = most - len(list(Path("/proc/self/fd").iterdir())) - DESCRIPTORS_KEPT - 2 * ACCEPTS
    over_grpc = max(1, min(GRPC_CONNECTIONS, free // 2))
    return max(1, min(CONNECTIONS, free - over_grpc)), over_grpc


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns off Nagle's delay (40 ms a reply) only if the protocol is given.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise InputError("PORT_IN_USE", f"{host}:{port} cannot be bound", "Choose another --http-port.") from None
    listener.listen(BACKLOG)
    return listener


def _report_ready(model: Predictor, listener: socket.socket, address: Address) -> None:
    manifest = model.ensemble.manifest
    telemetry.READY.set(1)
    telemetry.MODEL.labels(model.version, manifest.digest, manifest.group, str(manifest.synthetic).lower()).set(1)
    where = {"host": address.host, "http_port": listener.getsockname()[1], "grpc_port": address.grpc_port}
    log.info("ready", extra={"fields": {**where, **model.facts}})
