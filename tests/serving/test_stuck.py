"""Jobs that never end: others are refused as BUSY, the process reports that it is not alive, and SIGTERM stops it."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import grpc

from components.common.kserve_import import pb
from serving.server import UNFINISHED
from tests.serving.attacks import INFER, V1
from tests.serving.conftest import Server

#: The predictor's own command line, but each job takes a thread for ever.
STUCK = """
import sys, threading
from serving.__main__ import main
from serving.predictor import Predictor
Predictor._decode = lambda *_: threading.Event().wait()
sys.exit(main(sys.argv[1:]))
"""
LINGER, GRACE = 0.2, 2.0
LIVE = "/inference.GRPCInferenceService/ServerLive"


def slow_body(port: int, size: int = 1000) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=30)
    line.sendall(f"POST {V1} HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n{{".encode())
    return line


def whole_body(port: int) -> socket.socket:
    line = slow_body(port, 2)
    line.sendall(b"}")
    return line


def reply_never_read(port: int) -> socket.socket:
    """Requests more answers than its buffers hold, and reads none."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.settimeout(0.3)
    line.connect(("127.0.0.1", port))
    with contextlib.suppress(TimeoutError):
        for _ in range(10_000):
            line.sendall(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n" * 100)
    return line


def silence(ends: threading.Event):
    """The messages of a call that sends none for a long time."""
    ends.wait(60)
    yield from ()


def grpc_live(channel: grpc.Channel) -> bool:
    ask = channel.unary_unary(LIVE, pb.ServerLiveRequest.SerializeToString, pb.ServerLiveResponse.FromString)
    return ask(pb.ServerLiveRequest(), timeout=10).live


def wait_for(server: Server, requests: int) -> None:
    """Waits until this many requests are accepted and not answered."""
    end = time.monotonic() + 10
    while f"srs_requests_in_flight {requests}.0" not in server.ask("GET", "/metrics")[2].decode():
        assert time.monotonic() < end
        time.sleep(0.02)


def end(server: Server) -> tuple[int, float]:
    """Exit code, and seconds from SIGTERM to the end."""
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    return server.process.wait(60), time.monotonic() - began


def test_work_that_never_ends(bundle, tmp_path):
    flags = ("--workers", "1", "--max-requests", "3", "--stuck-seconds", "1", "--grace-seconds", str(GRACE))
    server = Server(bundle, tmp_path, *flags, run=("-c", STUCK))
    ends, lines = threading.Event(), []
    try:
        server.wait_ready()
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            lines += [whole_body(server.http_port) for _ in range(2)]
            wait_for(server, 2)
            lines.pop().close()  # its caller's disconnection frees the slot, but not the thread
            wait_for(server, 1)
            lines.append(whole_body(server.http_port))
            wait_for(server, 2)
            assert grpc_live(channel)
            status, headers, reply = server.ask("POST", V1, b"{}")  # the last slot is for another client
            assert (status, json.loads(reply)["code"], headers["retry-after"]) == (503, "BUSY", "1")
            time.sleep(1.1)
            assert [server.ask("GET", path)[0] for path in ("/", "/v2/health/live", "/v2/health/ready")] == [
                503,
                503,
                200,
            ]
            assert not grpc_live(channel)
            lines += [slow_body(server.http_port), reply_never_read(server.http_port)]
            silent = channel.stream_unary(INFER).future(silence(ends))
            code, seconds = end(server)
            assert code == UNFINISHED
            assert seconds < LINGER + GRACE + 1.5
            ends.set()
            assert silent.code().name == "UNAVAILABLE"
        last = json.loads(server.log.read_text().splitlines()[-1])
        assert (last["event"], last["requests"]) == ("stopped after the grace period", 2)
    finally:
        ends.set()
        server.process.kill()
        for line in lines:
            line.close()


def test_callers_that_hold_connections_do_not_stop_the_shutdown(start):
    server, ends = start("--grace-seconds", str(GRACE)), threading.Event()
    lines = [slow_body(server.http_port), reply_never_read(server.http_port)]
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        silent = [channel.stream_unary(INFER).future(silence(ends)) for _ in range(20)]
        time.sleep(0.2)
        code, seconds = end(server)
        ends.set()
        assert {call.code().name for call in silent} == {"UNAVAILABLE"}
    assert code == 0  # nothing that was accepted is lost
    assert seconds < LINGER + GRACE + 1.5
    reply = lines[0].recv(65536)
    assert reply.startswith(b"HTTP/1.1 503 ")
    for line in lines:
        line.close()


def test_descriptors_that_run_out_are_logged_once_a_second():
    code = """
import asyncio, logging
from serving import telemetry
telemetry.configure_logs("info")
class Loop:
    now = 0.0
    def time(self): return self.now
loop, errors = Loop(), telemetry.LoopErrors()
for iteration in range(50_000):
    loop.now = iteration / 20_000
    errors(loop, {"message": "socket.accept() out of system resource", "exception": OSError(24, "secret")})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["count"] for line in lines] == [1, 20_000, 20_000]
    assert "secret" not in done.stderr
