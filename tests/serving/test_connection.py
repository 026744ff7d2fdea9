"""HTTP as real clients send it, and the limits of a connection."""

import asyncio
import contextlib
import json
import logging
import socket
import threading
import time
import urllib.error
import urllib.request

import h11
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.limits import CHUNK_BYTES, CHUNKS, HEAD_BYTES, REQUEST_STARTS, REQUESTS
from components.common.pages import REPLY_HEADERS
from serving import connection
from serving.connection import bounded_connection
from serving.errors import CODES
from serving.parser import Parser
from serving.server import Uvicorn
from tests.serving.attacks import V1

CROP = json.dumps({"instances": [[[40] * 151] * 151]}).encode()
H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA\r\n"
UPGRADES = (
    H2C,
    H2C.lower(),
    "connection: HTTP2-Settings , upgrade\r\nHTTP2-SETTINGS: AAMAAABk\r\nUPGRADE: h2c\r\n",
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAA==\r\n",
    "Connection: upgrade\r\nUpgrade: TLS/1.3, h2c, foo/2\r\n",
    "Connection: keep-alive, Upgrade\r\nUpgrade: \r\n",
    "Upgrade: h2c\r\n",
    "Connection: Upgrade\r\n",
)


def request(upgrade: str, body: bytes, *, chunked: bool, path: str = V1, version: str = "1.1") -> bytes:
    """The bytes of a POST with a request to upgrade."""
    head = f"POST {path} HTTP/{version}\r\nHost: h\r\n{upgrade}Content-Type: application/json\r\n"
    if not chunked:
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    return f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


def answers(server, sent: bytes, cuts: list[int] = ()) -> bytes:
    """The reply to ``sent``, which ends with a request to close and is sent in pieces cut at ``cuts``."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
            line.sendall(sent[start:end])
        return b"".join(iter(lambda: line.recv(65536), b""))


LAST = b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("upgrade", UPGRADES)
def test_a_requested_upgrade_is_ignored_and_the_body_is_read(server, upgrade, chunked):
    reply = answers(server, request(upgrade, CROP, chunked=chunked) + LAST)
    assert reply.count(b"HTTP/1.1 200 ") == 2, reply[:300]
    assert b'"predictions":[{' in reply
    assert b"HTTP/1.1 101" not in reply


@settings(max_examples=25)
@given(data=st.data())
def test_upgrade_requests_in_any_number_and_any_pieces_are_answered(server, data):
    small = json.dumps({"instances": [[1]]}).encode()  # its refusal names the crop: the body was read
    upgrades = data.draw(st.lists(st.sampled_from(("", *UPGRADES)), min_size=1, max_size=6))
    chunked = data.draw(st.lists(st.booleans(), min_size=len(upgrades), max_size=len(upgrades)))
    sent = b"".join(request(o, small, chunked=c) for o, c in zip(upgrades, chunked, strict=True)) + LAST
    cuts = sorted(data.draw(st.lists(st.integers(1, len(sent) - 1), max_size=4)))
    reply = answers(server, sent, cuts)
    assert reply.count(b"CROP_SHAPE") == len(upgrades), (upgrades, cuts, reply[:300])
    assert reply.count(b"HTTP/1.1 200 ") == 1


def test_thousands_of_upgrade_requests_in_one_piece_are_answered_in_order(server):
    one = b"GET /v2 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert answers(server, one * 2000 + LAST).count(b"HTTP/1.1 200 ") == 2001


def test_websocket_and_health_are_plain_http(server):
    upgrade = UPGRADES[3].replace("\r\n", "\n").strip().split("\n")
    headers = dict(line.split(": ", 1) for line in upgrade)
    assert server.ask("GET", "/v2/health/ready", headers=headers)[0] == 200


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_caller_that_closes_reads_why_its_body_was_refused(start, version):
    server = start("--max-json-mb", "1", "--grpc-port", "off")
    sent = request("Connection: close\r\n", b"x" * (20 * 2**20), chunked=False, version=version)
    reply = answers(server, sent)
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b"BODY_TOO_LARGE" in reply
    url = f"http://127.0.0.1:{server.http_port}{V1}"  # urllib asks to close each connection
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url, b"x" * (20 * 2**20), timeout=30)
    assert caught.value.code == 413
    caught.value.close()


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_a_refused_body_that_never_ends_is_not_waited_for(start, connection):
    server = start("--body-seconds", "1", "--grpc-port", "off")
    head = f"POST {V1} HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\nContent-Length: {10**12}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=10) as line:
        line.sendall(head)
        reply = line.recv(65536)
        line.sendall(b"x" * 1000)  # and no more
        reply += b"".join(iter(lambda: line.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert reply.endswith(b"}")


# --- what a connection may take: our class under a small application, in this process ---------------------------------


LARGE = 16 * 2**20


async def application(scope, receive, send):
    """Answers with the body's size; ``/refuse`` before it came, ``/large`` more than buffers hold, ``/slow`` later."""
    size, more = 0, scope["path"] != "/refuse"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(0.02)
    body = bytes(LARGE) if scope["path"] == "/large" else b"%d" % size
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Small:
    """A server of the application with our connections."""

    def __init__(self, **bounds) -> None:
        config = uvicorn.Config(
            application, http=bounded_connection(**bounds), lifespan="off", ws="none", log_config=None
        )
        self.server, self.listener = Uvicorn(config), socket.create_server(("127.0.0.1", 0))
        self.http_port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=asyncio.run, args=(self._serve(),))

    async def _serve(self) -> None:
        closing = asyncio.create_task(self.server.close_late())
        await self.server.serve(sockets=[self.listener])
        closing.cancel()

    @property
    def connections(self) -> list:
        return list(self.server.server_state.connections)

    def __enter__(self) -> "Small":
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_) -> None:
        self.server.patience = 0
        self.server.should_exit = True
        self.thread.join(30)
        self.listener.close()

    def connect(self, sent: bytes = b"") -> socket.socket:
        line = socket.create_connection(("127.0.0.1", self.http_port), timeout=10)
        line.sendall(sent)
        return line


@pytest.fixture(scope="module")
def small():
    with Small() as served:
        yield served


CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSING = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"


def status_of(reply: bytes) -> bytes:
    return reply[9:12]


def rest(line: socket.socket) -> bytes:
    """All bytes received until the server closes."""
    reply = b""
    with contextlib.suppress(ConnectionResetError):  # where something sent was not read
        while piece := line.recv(65536):
            reply += piece
    return reply


def is_silent(line: socket.socket) -> bool:
    line.settimeout(0.2)
    try:
        line.recv(100)
    except TimeoutError:
        return True
    finally:
        line.settimeout(10)
    return False


def send_until_full(line: socket.socket, sent: bytes) -> None:
    """Sends repeatedly, until the server stops reading."""
    line.settimeout(0.3)
    with contextlib.suppress(TimeoutError):
        for _ in range(1000):
            line.sendall(sent)
        raise AssertionError("the server reads without end")


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("whole", [True, False], ids=["in one piece", "never whole"])
def test_a_head_has_a_limit(small, whole, beyond):
    begin, end = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: ", b"\r\n\r\n"
    room = HEAD_BYTES - len(begin) - (len(end) if whole else 0) + beyond
    with small.connect(begin + b"x" * room + (end if whole else b"")) as line:
        if not whole and not beyond:
            assert is_silent(line)  # it may still become whole
            return
        reply = rest(line)
    assert status_of(reply) == (b"400" if beyond else b"200")
    assert (b"address and the headers are larger than %d bytes" % HEAD_BYTES in reply) == bool(beyond)
    assert b"chunk" not in reply


@pytest.mark.parametrize(
    "begin", [b"1;x=", b"0\r\nX: ", b"0\r\nX: y\r\nZ: "], ids=["chunk's line", "trailer", "trailers"]
)
@pytest.mark.parametrize("beyond", [0, 1])
def test_chunk_lines_and_trailers_have_a_limit(small, begin, beyond):
    allowed = begin.removeprefix(b"0\r\n")  # the last chunk's line is read already
    with small.connect(CHUNKED + begin + b"x" * (HEAD_BYTES - len(allowed))) as line:
        assert is_silent(line)
        if beyond:
            line.sendall(b"x")
            reply = rest(line)
            assert status_of(reply) == b"400"
            assert b"trailers or a chunk's line are larger than %d bytes" % HEAD_BYTES in reply


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize(("size", "most"), [(1, CHUNKS), (CHUNK_BYTES // 2, 2 * CHUNKS - 1)])
def test_small_chunks_are_counted(small, size, most, beyond):
    """Each further chunk needs ``CHUNK_BYTES`` before it."""
    sent = (b"%x\r\n" % size + b"x" * size + b"\r\n") * (most + beyond)
    with small.connect(CLOSING + sent + b"0\r\n\r\n") as line:
        reply = rest(line)
    assert status_of(reply) == (b"400" if beyond else b"200")
    assert (b"%d chunks" % CHUNKS in reply) == bool(beyond)


def test_large_chunks_may_be_many(small):
    one = b"%x\r\n" % CHUNK_BYTES + b"x" * CHUNK_BYTES + b"\r\n"
    assert status_of(answers(small, CLOSING + one * 3 * CHUNKS + b"0\r\n\r\n")) == b"200"


BOTH = CHUNKED.removesuffix(b"\r\n")
AMBIGUOUS = {
    "chunks and a length": BOTH + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "a length and chunks": BOTH.replace(b"Host: h", b"Content-Length: 5\r\nHost: h") + b"\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
    "another coding": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    "another version": b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguous_framing_is_refused_and_nothing_after_it_is_answered(small, name):
    reply = answers(small, AMBIGUOUS[name] + b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert status_of(reply) == b"400"
    assert reply.count(b"HTTP/1.1 4") == 1
    assert b"HTTP/1.1 2" not in reply


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_bytes_that_are_not_http_are_refused_with_the_usual_reply(small, name):
    head, _, body = answers(small, AMBIGUOUS[name]).partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:])
    assert headers == {
        **{name.lower(): value.lower() for name, value in REPLY_HEADERS.items()},
        **{"content-type": "application/json", "content-length": str(len(body)), "connection": "close"},
    }
    problem = json.loads(body)
    assert problem.pop("error")
    assert problem.pop("hint")
    assert problem == {"code": "HTTP_INVALID"}
    assert problem["code"] in CODES[400]


CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
#: What was sent -> a part of the message, and of the hint.
WHY_NOT_HTTP = {
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00", "TLS handshake", "http://"),
    "no host": (AMBIGUOUS["no host"], "header Host is missing", "Send the header Host"),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", "more than once", "once"),
    "HTTP/2": (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "Only HTTP/1.0 and HTTP/1.1",
        "srs serve opens it with --grpc, python -m serving with --grpc-port",
    ),
    "HTTP/0.9": (b"GET / HTTP/0.9\r\nHost: h\r\n\r\n", "Only HTTP/1.0 and HTTP/1.1", "Send HTTP/1.1."),
    "a space in the address": (b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "first line", "percent-encoded"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.0\r\n\r\n", "first line", "GET /v2 HTTP/1.1"),
    "a header": (b"GET / HTTP/1.1\r\nHost: h\r\nsecret\r\n\r\n", "Name: value", "one Name: value per line"),
    "a length": (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: five\r\n\r\n", "not a number", "as digits"),
    "two lengths": (AMBIGUOUS["two lengths"], "different values", "once"),
    "another coding": (AMBIGUOUS["another coding"], "not chunked", "Content-Length"),
    "a chunk": (CHUNKED + b"secret\r\n", "chunk of the body", "hexadecimal"),
    "chunks and a length": (AMBIGUOUS["chunks and a length"], "with Content-Length", "one of the two"),
}


@pytest.mark.parametrize("name", WHY_NOT_HTTP)
def test_a_request_that_is_not_http_is_told_why_and_what_to_do(small, name):
    sent, message, hint = WHY_NOT_HTTP[name]
    problem = json.loads(answers(small, sent).partition(b"\r\n\r\n")[2])
    assert problem["code"] == "HTTP_INVALID"
    assert message in problem["error"]
    assert hint in problem["hint"]
    assert "secret" not in str(problem)
    assert ("gRPC" in problem["hint"]) == (name == "HTTP/2")


def test_the_absolute_form_names_the_same_resource(server):
    sent = b"GET http://other:80/v2/health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    assert status_of(answers(server, sent)) == b"200"


def test_nothing_is_read_ahead_of_the_request_in_progress(small):
    """Bytes sent after it stay with their sender, except those of one read."""
    one = b"POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
    behind = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % 2**24 + bytes(2**24)
    most = 0
    with small.connect() as line:
        sending = threading.Thread(target=line.sendall, args=(one * 20 + behind,))
        sending.start()
        while sending.is_alive():
            found = [one for one in small.connections if one.client == line.getsockname()]
            most = max([most, *(len(one.conn.trailing_data[0]) for one in found)])
            time.sleep(0.005)
        reply = rest(line)
    assert reply.count(b"HTTP/1.1 200 ") == 21
    assert reply.endswith(b"%d" % 2**24)
    assert 0 < most <= HEAD_BYTES + 2 * 2**18


def test_answers_that_are_not_read_stop_the_reading(small):
    with small.connect() as line:
        send_until_full(line, b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n" * 2000)
        (found,) = [one for one in small.connections if one.client == line.getsockname()]
        assert len(found.conn.trailing_data[0]) <= HEAD_BYTES + 2 * 2**18
        assert found.line.get_write_buffer_size() <= 2 * LARGE


LATE = {
    "says nothing": b"",
    "head not whole": b"GET / HTTP/1.1\r\nHost:",
    "second head not whole": b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET",
    "rest of a refused body": b"POST /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n",
    "the same, to be closed": b"POST /refuse HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 9\r\n\r\n",
    "answer not read": b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n",
}


def test_no_caller_is_waited_for_forever(monkeypatch):
    monkeypatch.setattr(connection, "READ_SECONDS", 0.5)
    with Small(head_seconds=0.5, body_seconds=0.5) as served:
        lines = {name: served.connect(sent) for name, sent in LATE.items()}
        idle = served.connect(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")  # between two requests
        time.sleep(0.3)
        assert len(served.connections) == len(LATE) + 1
        end = time.monotonic() + 10
        while len(served.connections) > 1 and time.monotonic() < end:
            time.sleep(0.05)
        assert [one.client for one in served.connections] == [idle.getsockname()]
        for line in (*lines.values(), idle):
            line.close()


def test_too_many_connections_end_the_one_that_waits_longest_and_never_one_that_is_answered():
    with Small(most=3) as served:
        lines = [served.connect(sent) for sent in (b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")]
        assert status_of(lines[2].recv(100)) == b"200"
        assert len(served.connections) == 3
        lines += [served.connect() for _ in range(2)]
        for line in lines[:2]:
            assert line.recv(100) == b""
        with served.connect(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") as good:
            assert status_of(good.recv(100)) == b"200"
        for line in lines:
            line.close()


def test_no_connection_holds_more_than_a_head_and_what_is_read_at_once():
    sent = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 10_000
    with Small() as served:
        lines = [served.connect() for _ in range(4 * REQUEST_STARTS)]
        for line in lines:
            line.setblocking(False)
        end, most = time.monotonic() + 2, 0
        while time.monotonic() < end:
            for line in lines:
                with contextlib.suppress(BlockingIOError):
                    line.recv(2**18)
                with contextlib.suppress(BlockingIOError):
                    line.send(sent)
            most = max([most, *(one.conn.ahead for one in served.connections)])
        for line in lines:
            line.close()
    assert HEAD_BYTES < most <= HEAD_BYTES + 2**18  # what asyncio reads at once


@pytest.mark.parametrize("target", ["http://[", "http://a]b/", "http://[zz]/v2"])
def test_an_address_that_is_no_url_is_refused_and_the_server_stops_as_usual(target):
    with Small() as served, served.connect(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode()) as line:
        reply = b"".join(iter(lambda: line.recv(4096), b""))
        assert status_of(reply) == b"400"
        assert b"not a URL" in reply
    assert not served.thread.is_alive()


@pytest.mark.parametrize("head", ["HEAD http://[ HTTP/1.1", "HEAD / HTTP/1.0\r\nTransfer-Encoding: chunked"])
def test_a_refused_head_is_answered_without_a_body(caplog, head):
    with Small() as served, served.connect(f"{head}\r\nHost: h\r\n\r\n".encode()) as line:
        reply = b"".join(iter(lambda: line.recv(4096), b""))
        assert status_of(reply) == b"400"
        assert reply.endswith(b"\r\n\r\n")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_one_connection_that_cannot_be_shut_down_leaves_the_others_as_they_are():
    def fails(_event) -> None:
        raise h11.LocalProtocolError("in no state for it")

    with Small() as served, served.connect() as one, served.connect() as other:
        while len(served.connections) < 2:
            time.sleep(0.01)
        for open_one in served.connections:
            open_one.conn.send = fails
        served.server.should_exit = True
        assert (one.recv(1), other.recv(1)) == (b"", b"")
    assert not served.thread.is_alive()


def test_a_request_starts_only_in_its_turn():
    parser = Parser()
    parser.receive_data(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert parser.next_event() is h11.NEED_DATA
    parser.may_begin = True
    assert isinstance(parser.next_event(), h11.Request)
    assert not parser.may_begin


@pytest.mark.parametrize("behind", [b"\r\n", b"GET / HTTP/1.1\r\n\r\n", b"?"])
def test_bytes_after_the_last_request_do_not_replace_its_answer(server, behind):
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as line:
        line.sendall(request("Connection: close\r\n", CROP, chunked=False))
        time.sleep(0.005)
        line.sendall(behind)
        reply = b""
        with contextlib.suppress(ConnectionResetError):  # where the server had answered and closed before
            for part in iter(lambda: line.recv(65536), b""):
                reply += part
        assert status_of(reply) == b"200"


def test_an_empty_line_after_a_body_is_skipped(server):
    reply = answers(server, request("", CROP, chunked=False) + b"\r\n" + LAST)
    assert reply.count(b"HTTP/1.1 200") == 2


def test_a_connection_whose_refused_body_came_late_stays_open_no_longer_than_others():
    with Small() as served, served.connect(b"POST /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n") as line:
        assert line.recv(100)
        line.sendall(b"x")
        (one,) = served.connections
        end = time.monotonic() + 5
        while one.state() != "idle" and time.monotonic() < end:
            time.sleep(0.01)
        assert one.state() == "idle"
        assert one.timeout_keep_alive_task is not None


def test_slow_bodies_of_the_same_address_leave_the_others_answered(server):
    head = f"POST {V1} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n{{".encode()
    lines = [socket.create_connection(("127.0.0.1", server.http_port)) for _ in range(REQUESTS + 6)]
    for line in lines:
        line.sendall(head)
    assert server.ask("POST", V1, CROP)[0] == 200
    for line in lines:
        line.close()
