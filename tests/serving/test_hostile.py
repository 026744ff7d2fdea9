"""Random, mutated and hostile requests: answered, or refused by a documented code; never another 5xx."""

import base64
import http.client
import io
import json
import random
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from serving.errors import __doc__ as documented
from tests.serving.bundles import draw_crops
from tests.serving.studies import study_files, study_zip

JSON_WORDS = (b"null", b"-1", b"1e999", b"[]", b"{}", b'""', b"true", b"9" * 20, b'"\\ud800"', b"[[[[", b"NaN", b"\0")
HEADER_LENGTHS = ("2", "0", "-1", "x", "99999999", "1e3", "")
#: Kilobytes that a process may grow after its first requests: pools and caches filled once, not a leak.
GROWTH_KB = 60_000


def seeds() -> list[tuple[str, bytes, dict[str, str]]]:
    """Good requests to start from: path, body, headers."""
    crop = draw_crops(1, np.random.default_rng(0))
    tensor = {"name": "crop_hu", "shape": [1, 151, 151], "datatype": "FP32"}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": crop.nbytes}}]}).encode()
    short = {
        "inputs": [{**tensor, "data": [1, 2]}],
        "outputs": [{"name": "members", "parameters": {"binary_data": True}}],
    }
    zipped = study_zip()
    encoded = base64.b64encode(zipped).decode()
    v1, v2 = "/v1/models/srs-response:predict", "/v2/models/srs-response/infer"
    return [
        (v2, head + crop.tobytes(), {"Inference-Header-Content-Length": str(len(head))}),
        (v2, json.dumps(short).encode(), {}),
        (v1, json.dumps({"instances": [crop[0].round(1).tolist()]}).encode(), {}),
        (v1, json.dumps({"instances": [{"dicom_zip": encoded, "roi": "GTV"}]}).encode(), {}),
        (v1, zipped, {"Content-Type": "application/zip"}),
    ]


def mutated(data: bytes, rng: random.Random, reach: int = 10**9) -> bytes:
    """``data`` changed in one to thirty places, half of the time near its start."""
    body = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 30))):
        at = rng.randrange(max(1, min(len(body), rng.choice((300, reach)))))
        kind = rng.randrange(6)
        if kind == 0:
            body[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del body[at : at + rng.randrange(1, 50)]
        elif kind == 2:
            body[at:at] = rng.choice(JSON_WORDS)
        elif kind == 3:
            body[at : at + 4] = rng.choice(JSON_WORDS)
        elif kind == 4:
            body[at:at] = rng.randbytes(20)
        else:
            del body[at:]
    return bytes(body)


def mutated_study(files: dict[str, bytes], rng: random.Random) -> bytes:
    """A zip whose DICOM files are damaged inside, most often the RTSTRUCT."""
    files = dict(files)
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice([*files, *["RS.dcm"] * 12])
        if name in files:
            files[name] = mutated(files[name], rng, reach=3000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
    return buffer.getvalue()


def memory_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def attack(server, count: int, seed: int) -> dict[int, int]:
    """Statuses of ``count`` requests; asserts that each is documented."""
    rng, good, files = random.Random(seed), seeds(), study_files()
    statuses: dict[int, int] = {}
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60)
    for index in range(count):
        path, body, headers = rng.choice(good)
        if index % 7 == 0:
            path, body, headers = good[-1][0], mutated_study(files, rng), good[-1][2]
        elif rng.random() < 0.9:
            body = mutated(body, rng)
        if rng.random() < 0.1:
            headers = {**headers, "Inference-Header-Content-Length": rng.choice(HEADER_LENGTHS)}
        if rng.random() < 0.05:
            headers = {**headers, "Content-Type": rng.choice(("application/zip", "text/plain", ""))}
        if rng.random() < 0.02:
            path = rng.choice(("/v2/models/srs-response/versions/9/infer", "/v1/models/%00:predict", "/v2/../infer"))
        connection.request(rng.choice(["POST"] * 30 + ["PUT", "GET"]), path, body, headers)
        reply = connection.getresponse()
        told = reply.read()
        statuses[reply.status] = statuses.get(reply.status, 0) + 1
        assert reply.status in (200, 400, 404, 405, 413), (path, headers, told[:200])
        if reply.status != 200:
            assert json.loads(told)["code"] != "INTERNAL"
            assert b"Traceback" not in told
    connection.close()
    assert server.process.poll() is None
    return statuses


def test_hostile_requests_meet_documented_answers(server):
    statuses = attack(server, 400, seed=1)
    assert statuses[200] > 10
    assert statuses[400] > 100


@pytest.mark.slow
def test_ten_thousand_hostile_requests_leave_memory_flat(start):
    server = start()
    attack(server, 1000, seed=2)
    before = memory_kb(server.process.pid)
    attack(server, 9000, seed=3)
    assert memory_kb(server.process.pid) < before + GROWTH_KB


def test_a_zip_bomb_is_refused_at_once(server):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("CT.dcm", bytes(200 * 2**20))
    path, headers = f"/v1/models/{server.name}:predict", {"Content-Type": "application/zip"}
    before = memory_kb(server.process.pid)
    status, _, body = server.ask("POST", path, buffer.getvalue(), headers)
    assert (status, json.loads(body)["code"]) == (413, "ZIP_TOO_LARGE")
    assert memory_kb(server.process.pid) < before + GROWTH_KB


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\\..\\b", "C:/x"])
def test_names_that_leave_the_zip_are_refused(server, name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr(name, b"x")
    path, headers = f"/v1/models/{server.name}:predict", {"Content-Type": "application/zip"}
    status, _, body = server.ask("POST", path, buffer.getvalue(), headers)
    assert (status, json.loads(body)["code"]) == (400, "PATH_OUTSIDE")


def test_an_endless_series_is_refused(server):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for index in range(2001):
            zipped.writestr(f"{index}.dcm", b"")
    path, headers = f"/v1/models/{server.name}:predict", {"Content-Type": "application/zip"}
    status, _, body = server.ask("POST", path, buffer.getvalue(), headers)
    assert (status, json.loads(body)["code"]) == (413, "ZIP_TOO_LARGE")


def test_the_error_table_is_documented():
    for code in ("INTERNAL", "BUSY", "MODEL_UNKNOWN", "BODY_TOO_LARGE", "ZIP_TOO_LARGE", "BODY_SLOW"):
        assert code in (documented or "")


@pytest.mark.slow
def test_every_accepted_request_is_answered_while_the_process_is_restarted(bundle, tmp_path):
    """Two minutes of eight callers while the process is ended by SIGTERM and started again, over and over.

    A caller whose connection is refused or closed before a byte of the reply asks again, as HTTP clients do; a reply
    that has begun must be whole, and every status must be 200 or 503.
    """
    from tests.serving.conftest import Server

    path, body, headers = seeds()[0]
    end, answered, broken = time.monotonic() + 120, [0], []
    server = Server(bundle, tmp_path)
    port = server.http_port
    server.wait_ready()

    def ask() -> None:
        while time.monotonic() < end:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                connection.request("POST", path, body, headers)
                reply = connection.getresponse()
            except (ConnectionError, http.client.RemoteDisconnected):
                time.sleep(0.02)
                continue
            try:
                json.loads(reply.read())
                answered[0] += reply.status == 200
                if reply.status not in (200, 503):
                    broken.append(reply.status)
            except (OSError, ValueError, http.client.HTTPException) as error:
                broken.append(repr(error))
            finally:
                connection.close()

    callers = [threading.Thread(target=ask) for _ in range(8)]
    for caller in callers:
        caller.start()
    restarts = 0
    try:
        while time.monotonic() < end:
            time.sleep(5)
            assert server.end() == 0
            log = server.log.read_text()
            accepted, replied = log.count('"event": "request"'), log.count('"status": 200') + log.count('"status": 503')
            assert accepted == replied, log[-2000:]
            server = Server(bundle, tmp_path, "--http-port", str(port))
            server.http_port = port
            server.wait_ready()
            restarts += 1
    finally:
        for caller in callers:
            caller.join()
        server.end()
    assert broken == []
    assert restarts >= 3
    assert answered[0] > 100
