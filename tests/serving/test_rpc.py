"""gRPC: a silent caller delays nobody, and gRPC's own limits are set."""

import asyncio
import contextlib
import socket
import threading
import time

import grpc
import pytest

from components.common.kserve_import import pb
from components.common.limits import WAITING_CALLS
from serving import rpc
from serving.limits import Admission, Limits, Load
from tests.serving.attacks import INFER, good_message
from tests.serving.conftest import free_port

SERVICE = "/inference.GRPCInferenceService/"


class Plane:
    """The part of the data plane that health checks use."""

    def is_live(self) -> bool:
        return True

    def is_ready(self) -> bool:
        return True

    def metadata(self) -> dict:
        return {"name": "kserve", "version": "0", "extensions": []}

    async def model_ready(self, name: str) -> bool:
        return bool(name)


@contextlib.asynccontextmanager
async def serving(connections: int = 10, seconds: float = 30):
    address, admission = f"127.0.0.1:{free_port()}", Admission(Load())
    server = rpc.Server(Plane(), admission, address, Limits(seconds=seconds), connections)
    await server.start()
    try:
        yield address
    finally:
        await server.stop(0)


def channel_to(address: str, *options: tuple[str, int]) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1), *options])


async def reply(call) -> str:
    """``OK``, or the status of the error and its details."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name} {error.details()}"
    return "OK"


async def silence():
    await asyncio.sleep(60)
    yield b""


@pytest.mark.parametrize("method", ["ModelInfer", "ModelReady", "ServerLive"])
def test_silent_calls_leave_the_others_answered(server, method):
    ends, silent = threading.Event(), []
    message = good_message()

    def messages():
        ends.wait(60)
        yield from ()

    def ask(name: str, sent: bytes) -> float:
        began = time.monotonic()
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", [("grpc.use_local_subchannel_pool", 1)]) as own:
            own.unary_unary(SERVICE + name)(sent, timeout=20)
        return time.monotonic() - began

    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        silent += [channel.stream_unary(SERVICE + method).future(messages()) for _ in range(80)]
        time.sleep(0.3)
        name = pb.ModelReadyRequest(name=server.name).SerializeToString()
        took = [ask(*one) for one in (("ServerReady", b""), ("ModelReady", name), ("ModelInfer", message))]
        ends.set()
    assert max(took) < 2


def test_each_message_has_a_time_limit(monkeypatch):
    monkeypatch.setattr(rpc, "FACTS_SECONDS", 0.2)

    async def run() -> list[str]:
        async with serving(seconds=0.2) as address, channel_to(address) as channel:
            calls = [channel.stream_unary(SERVICE + name)(silence()) for name in rpc._METHODS]
            return [(await reply(call)).split()[0] for call in calls]

    assert asyncio.run(run()) == ["OK"] * 3 + ["DEADLINE_EXCEEDED"] * 3


def test_a_call_without_a_message_is_invalid(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel, pytest.raises(grpc.RpcError) as refused:
        channel.stream_unary(INFER)(iter(()), timeout=20)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_message_that_is_no_request_is_invalid():
    async def run() -> str:
        async with serving() as address, channel_to(address) as channel:
            return await reply(channel.unary_unary(SERVICE + "ModelReady")(b"\xff\xff"))

    assert asyncio.run(run()).startswith("INVALID_ARGUMENT")


def test_compressed_messages_and_large_metadata_are_refused():
    async def run() -> tuple[str, str, str]:
        async with serving() as address, channel_to(address) as channel:
            ask = channel.unary_unary(SERVICE + "ModelReady")
            packed = await reply(ask(bytes(2**20), compression=grpc.Compression.Gzip))
            most = rpc.METADATA_BYTES
            return (
                packed,
                await reply(ask(b"", metadata=[("x", "a" * most)])),
                await reply(ask(b"", metadata=[("x", "a")])),
            )

    packed, large, small = asyncio.run(run())
    assert packed.startswith("UNIMPLEMENTED")
    assert large.startswith("RESOURCE_EXHAUSTED")
    assert small == "OK"


def test_a_server_limits_its_connections():
    async def run() -> list[str]:
        async with contextlib.AsyncExitStack() as stack:
            address = await stack.enter_async_context(serving(connections=2))
            channels = [await stack.enter_async_context(channel_to(address)) for _ in range(3)]
            calls = [channel.unary_unary(SERVICE + "ServerLive") for channel in channels]
            return [(await reply(call(b"", timeout=2))).split()[0] for call in calls]

    assert asyncio.run(run()) == ["OK", "OK", "UNAVAILABLE"]


def test_hundreds_of_calls_at_once_over_one_connection_are_answered():
    async def run() -> set[str]:
        async with serving() as address, channel_to(address) as channel:
            ask = channel.unary_unary(SERVICE + "ModelReady")
            name = pb.ModelReadyRequest(name="m").SerializeToString()
            return {await reply(call) for call in [ask(name, timeout=30) for _ in range(WAITING_CALLS)]}

    assert asyncio.run(run()) == {"OK"}


def test_a_silent_connection_is_closed(monkeypatch):
    monkeypatch.setattr(rpc, "HANDSHAKE_SECONDS", 0.3)

    def seconds_until_closed(address: str) -> float:
        began = time.monotonic()
        with socket.create_connection((address.split(":")[0], int(address.split(":")[1])), timeout=10) as line:
            while line.recv(4096):
                pass
        return time.monotonic() - began

    async def run() -> float:
        async with serving() as address:
            return await asyncio.to_thread(seconds_until_closed, address)

    assert asyncio.run(run()) < 5
