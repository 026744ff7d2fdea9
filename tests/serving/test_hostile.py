"""Hostile requests: answered, or refused by a documented code, within bounded time and memory; never another 5xx."""

import contextlib
import io
import json
import selectors
import socket
import threading
import time
import zipfile

import grpc
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from components.common.limits import HEAD_BYTES
from tests.components.model.bundles import draw_crops
from tests.serving.attacks import INFER, V1, V2, ZIP, attack, forget_peak, memory_mb, zip_of

#: Megabytes that a process may grow after its first requests: pools and caches filled once, not a leak.
GROWTH_MB = 60
#: Megabytes that the largest bodies allowed, several at once, may take together.
BOUND_MB = 1500


def test_hostile_requests_meet_documented_answers(server):
    statuses = attack(server, 400, seed=1)
    assert statuses[200] > 10
    assert statuses[400] > 100
    assert statuses["OK"] + statuses["INVALID_ARGUMENT"] > 20


@pytest.mark.slow
def test_ten_thousand_hostile_requests_leave_memory_flat(start):
    server = start()
    attack(server, 1000, seed=2)
    before = memory_mb(server.process.pid)
    statuses = attack(server, 9000, seed=3)
    after = memory_mb(server.process.pid)
    print(f"{dict(statuses)}; {before} MB after 1,000 requests, {after} MB after 10,000")
    assert after < before + GROWTH_MB


DEEP = b"[" * 1000 + b"]" * 1000
CRAFTED = {
    "nested id": (V2, b'{"inputs":[],"id":' + DEEP + b"}"),
    "nested name": (V2, b'{"inputs":[{"name":' + DEEP + b',"shape":[1],"data":[1]}]}'),
    "nested output": (V2, b'{"inputs":[],"outputs":[{"name":' + DEEP + b"}]}"),
    "deeper than JSON may be": (V1, b'{"instances":' + b"[" * 10**6),
    "one long text beside many short": (V1, json.dumps({"instances": [["a" * 4000] + ["b"] * 500_000]}).encode()),
    "text as a crop": (V1, json.dumps({"instances": [[["1"] * 151] * 151]}).encode()),
    "a crop that is a number": (V1, b'{"instances":[{"crop_hu":5}]}'),
    "huge integers": (V1, json.dumps({"instances": [[[2**64 - 1] * 151] * 151]}).encode()),
    "integers beyond 64 bits": (V1, b'{"instances":[[' + b"9" * 400 + b"]]}"),
    "millions of lists": (V1, b'{"instances":[' + b"[]," * 5_000_000 + b"[]]}"),
    "NaN": (V1, b'{"instances":[[NaN]]}'),
    "Infinity": (V1, b'{"instances":[[-Infinity]]}'),
    "shape beyond memory": (
        V2,
        b'{"inputs":[{"name":"crop_hu","datatype":"FP32","shape":[2147483647,151,151],"data":[1]}]}',
    ),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_json_is_refused_at_little_cost(server, name):
    path, body = CRAFTED[name]
    forget_peak(server.process.pid)
    before, began = memory_mb(server.process.pid), time.monotonic()
    status, _, reply = server.ask("POST", path, body)
    assert status in (400, 413), reply
    assert json.loads(reply)["code"] != "INTERNAL"
    assert memory_mb(server.process.pid, "VmHWM") < before + 150
    assert time.monotonic() - began < 20


def test_compressed_bodies_are_refused_by_name(server):
    status, _, reply = server.ask("POST", V1, b"\x1f\x8b", {"Content-Encoding": "gzip"})
    assert (status, json.loads(reply)["code"]) == (415, "CONTENT_ENCODING")


def zip_refusal(server, body: bytes) -> tuple[int, str]:
    status, _, reply = server.ask("POST", V1, body, ZIP)
    return status, json.loads(reply)["code"]


def deflated_dicom(megabytes: int) -> bytes:
    """A multi-frame CT that inflates far beyond the size in its zip, because its transfer syntax is deflated."""
    one, meta = Dataset(), FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPInstanceUID = DeflatedExplicitVRLittleEndian, "1.2.3"
    meta.MediaStorageSOPClassUID = one.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    one.SOPInstanceUID, one.NumberOfFrames, one.file_meta = "1.2.3", 2, meta
    one.add_new((0x0019, 0x1001), "OB", bytes(megabytes * 2**20))
    buffer = io.BytesIO()
    one.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_zip_bombs_are_refused_within_bounds(server):
    pid = server.process.pid
    bomb = zip_of({"CT.dcm": bytes(200 * 2**20)}, zipfile.ZIP_DEFLATED)
    inner = deflated_dicom(100)
    forget_peak(pid)
    assert zip_refusal(server, bomb) == (413, "ZIP_TOO_LARGE")
    assert zip_refusal(server, zip_of({"inner.zip": bomb})) == (400, "NO_RTSTRUCT")  # a zip in a zip is no DICOM
    assert memory_mb(pid, "VmHWM") < memory_mb(pid) + GROWTH_MB
    assert zip_refusal(server, zip_of({f"{i}.dcm": inner for i in range(20)})) == (400, "DICOM_TOO_LARGE")
    assert memory_mb(pid, "VmHWM") < BOUND_MB


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\\..\\b", "C:/x"])
def test_names_that_leave_the_zip_are_refused(server, name):
    assert zip_refusal(server, zip_of({name: b"x"})) == (400, "PATH_OUTSIDE")


def test_an_endless_series_is_refused(server):
    assert zip_refusal(server, zip_of({f"{i}.dcm": b"" for i in range(2001)})) == (413, "ZIP_TOO_LARGE")


def test_endless_headers_end_the_connection(server):
    before = memory_mb(server.process.pid)
    address = ("127.0.0.1", server.http_port)
    with socket.create_connection(address, timeout=30) as line, pytest.raises(ConnectionError):
        line.sendall(b"GET / HTTP/1.1\r\nX: " + bytes(200 * 2**20))
    assert memory_mb(server.process.pid) < before + GROWTH_MB
    assert HEAD_BYTES < 2**20


def test_a_slow_head_ends_the_connection_and_a_slow_body_is_refused(start):
    server = start("--body-seconds", "1")
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert line.recv(100) == b""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as line:
        line.sendall(f"POST {V1} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode() + b"{")
        reply = b"".join(iter(lambda: line.recv(4096), b""))
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b"BODY_SLOW" in reply
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel, pytest.raises(grpc.RpcError) as refused:
        channel.stream_unary(INFER)(iter(lambda: time.sleep(3) or b"", b""))
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_pipelined_requests_are_answered_in_turn(server):
    one = f"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\nPOST {V1} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}"
    last = "GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as line:
        line.sendall((one * 50 + last).encode())
        reply = b"".join(iter(lambda: line.recv(65536), b""))
    assert [reply.count(f"HTTP/1.1 {status} ".encode()) for status in (200, 400)] == [51, 50]


def pipelining(port: int, over: threading.Event, count: int) -> None:
    """Connections of one address with one request after another, reopened when they are closed."""
    sent = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with selectors.DefaultSelector() as selector:
        while not over.is_set():
            for _ in range(count - len(selector.get_map())):
                line = socket.create_connection(("127.0.0.1", port), 30, ("127.0.0.2", 0))
                selector.register(line, selectors.EVENT_READ)
                line.sendall(sent * 50)
            for key, _ in selector.select(0.1):
                try:
                    came = key.fileobj.recv(2**18)
                    key.fileobj.sendall(sent * came.count(b"HTTP/1.1 200"))
                except OSError:
                    came = b""
                if not came:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
        for key in list(selector.get_map().values()):
            key.fileobj.close()


def vanishing(port: int, over: threading.Event, count: int) -> None:
    """Callers that disconnect before they are answered."""
    sent = f"POST {V1} HTTP/1.1\r\nHost: x\r\nContent-Length: {count}\r\n\r\n".encode() + b" " * count
    while not over.is_set():
        with socket.create_connection(("127.0.0.1", port), 30, ("127.0.0.2", 0)) as line, contextlib.suppress(OSError):
            line.sendall(sent)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flood", "count"), [(pipelining, 400), (pipelining, 600), (vanishing, 2), (vanishing, 60_000)]
)
def test_a_flood_of_requests_delays_nobody_else(start, flood, count):
    server, over = start(), threading.Event()
    body = json.dumps({"instances": [[[40] * 151] * 151]})

    def seconds() -> float:
        begun = time.monotonic()
        assert server.ask("POST", V1, body)[0] == 200
        return time.monotonic() - begun

    seconds()
    before = memory_mb(server.process.pid)
    thread = threading.Thread(target=flood, args=(server.http_port, over, count))
    thread.start()
    try:
        time.sleep(2)
        longest = max(seconds() for _ in range(20))
        print(f"{flood.__name__} {count}: {longest:.2f} s, {memory_mb(server.process.pid) - before} MB more")
        assert longest < 2
        assert memory_mb(server.process.pid, "VmHWM") < before + 200
    finally:
        over.set()
        thread.join()


def test_messages_that_grpc_cannot_read_are_invalid(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        for message, code in ((b"\xff\xff\xff", "INVALID_ARGUMENT"), (bytes(17 * 2**20), "RESOURCE_EXHAUSTED")):
            with pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary(INFER)(message, timeout=60)
            assert refused.value.code().name == code


def largest() -> dict[str, tuple[str, bytes, dict[str, str]]]:
    """The largest bodies allowed: path, body, headers."""
    crops = draw_crops(1, np.random.default_rng(0)).repeat(735, axis=0)
    tensor = {"name": "crop_hu", "shape": list(crops.shape), "datatype": "FP32"}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": crops.nbytes}}]}).encode()
    return {
        "binary": (V2, head + crops.tobytes(), {"Inference-Header-Content-Length": str(len(head))}),
        "zip": (V1, zip_of({f"{i}.dcm": bytes(2**19) for i in range(127)}), ZIP),
        "numbers": (V1, b'{"instances":[[' + b"1.5," * 4_100_000 + b"1]]}", {}),
        "texts": (V1, b'{"instances":[[' + b'"ab",' * 3_300_000 + b"1]]}", {}),
    }


@pytest.mark.slow
def test_the_largest_bodies_many_at_once_stay_within_bounds(start):
    server = start("--grpc-port", "off")
    for name, (path, body, headers) in largest().items():
        forget_peak(server.process.pid)
        statuses: list[int] = []

        def ask(path=path, body=body, headers=headers, statuses=statuses):
            with contextlib.suppress(OSError):
                statuses.append(server.ask("POST", path, body, headers)[0])

        callers = [threading.Thread(target=ask) for _ in range(12)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        peak = memory_mb(server.process.pid, "VmHWM")
        print(f"12 x {len(body) / 2**20:.0f} MiB of {name}: {peak} MB, {statuses}")
        assert set(statuses) <= {200, 400, 503}
        assert peak < BOUND_MB


@pytest.mark.slow
def test_the_largest_grpc_messages_many_at_once_stay_within_bounds(start):
    from components.common.kserve_import import pb

    server, codes = start(), []
    crops = draw_crops(1, np.random.default_rng(0)).repeat(183, axis=0)
    tensor = {"name": "crop_hu", "datatype": "FP32", "shape": crops.shape}
    request = pb.ModelInferRequest(
        model_name="srs-response", inputs=[tensor], outputs=[{"name": "score"}], raw_input_contents=[crops.tobytes()]
    )
    message = request.SerializeToString()

    def ask():
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", [("grpc.max_send_message_length", -1)]) as channel:
            try:
                channel.unary_unary(INFER)(message, timeout=120)
                codes.append("OK")
            except grpc.RpcError as error:
                codes.append(error.code().name)

    callers = [threading.Thread(target=ask) for _ in range(24)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    peak = memory_mb(server.process.pid, "VmHWM")
    print(f"24 x {len(message) / 2**20:.0f} MiB over gRPC: {peak} MB, {codes}")
    assert set(codes) <= {"OK", "UNAVAILABLE"}
    assert peak < BOUND_MB
