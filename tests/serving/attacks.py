"""Random, mutated and hostile requests over REST, raw sockets and gRPC, and what a server may answer to them."""

import base64
import http.client
import io
import json
import random
import socket
import zipfile
from collections import Counter
from pathlib import Path

import grpc
import numpy as np

from tests.components.model.bundles import draw_crops
from tests.serving.studies import study_files, study_zip

V1, V2 = "/v1/models/srs-response:predict", "/v2/models/srs-response/infer"
INFER = "/inference.GRPCInferenceService/ModelInfer"
ZIP = {"Content-Type": "application/zip"}
REFUSED = {400, 404, 405, 408, 413, 415, 503}
REFUSED_GRPC = {"INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "UNIMPLEMENTED"}
WORDS = (b"null", b"-1", b"1e999", b"[]", b"{}", b'""', b"true", b"9" * 20, b'"\\ud800"', b"[[[[", b"NaN", b"\0")
WORDS += (b"Infinity", b"-0", b"1" * 400, b'{"a":' * 50, b"9007199254740993", b"1e-400", b"\xff\xfe", b"../")
HEADER_LENGTHS = ("2", "0", "-1", "x", "99999999", "1e3", "", "\xb2", "0x10")
CONTENT_TYPES = ("application/zip", "text/plain", "", "application/json; charset=utf-16", "multipart/form-data", ";;;")
PATHS = (f"{V2[:-6]}/versions/9/infer", "/v1/models/%00:predict", "/v2/../infer", "/v1/models/%2e%2e", "//")


def seeds() -> list[tuple[str, bytes, dict[str, str]]]:
    """Good requests to start from: path, body, headers."""
    crop = draw_crops(1, np.random.default_rng(0))
    tensor = {"name": "crop_hu", "shape": [1, 151, 151], "datatype": "FP32"}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": crop.nbytes}}]}).encode()
    short = {
        "inputs": [{**tensor, "data": [1, 2]}],
        "outputs": [{"name": "members", "parameters": {"binary_data": True}}],
    }
    encoded = base64.b64encode(study_zip()).decode()
    return [
        (V2, head + crop.tobytes(), {"Inference-Header-Content-Length": str(len(head))}),
        (V2, json.dumps(short).encode(), {}),
        (V1, json.dumps({"instances": [crop[0].round(1).tolist()]}).encode(), {}),
        (V1, json.dumps({"instances": [{"dicom_zip": encoded, "roi": "GTV"}]}).encode(), {}),
        (V1, study_zip(), ZIP),
    ]


def mutated(data: bytes, rng: random.Random, reach: int = 10**9) -> bytes:
    """``data`` changed at one to thirty positions, half of the time near its start."""
    body = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 30))):
        at = rng.randrange(max(1, min(len(body), rng.choice((300, reach)))))
        kind = rng.randrange(6)
        if kind == 0:
            body[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del body[at : at + rng.randrange(1, 50)]
        elif kind == 2:
            body[at:at] = rng.choice(WORDS)
        elif kind == 3:
            body[at : at + 4] = rng.choice(WORDS)
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
    return zip_of(files)


def zip_of(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of name -> bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
    return buffer.getvalue()


def attack(server, count: int, seed: int) -> Counter:
    """Answers to ``count`` requests by their status; asserts that each is documented."""
    rng, good, files, statuses = random.Random(seed), seeds(), study_files(), Counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        message = good_message()
        for index in range(count):
            kind = rng.random()
            if kind < 0.1:
                statuses[_ask_grpc(channel, mutated(message, rng))] += 1
            elif kind < 0.15:
                statuses[_ask_raw(server.http_port, rng, *rng.choice(good))] += 1
            else:
                statuses[_ask_rest(connection, rng, *_request(index, rng, good, files))] += 1
    connection.close()
    assert server.process.poll() is None
    return statuses


def good_message() -> bytes:
    """A ``ModelInferRequest`` as it is sent."""
    from components.common.kserve_import import pb

    crop = draw_crops(1, np.random.default_rng(0))
    tensor = {"name": "crop_hu", "datatype": "FP32", "shape": crop.shape}
    request = pb.ModelInferRequest(
        model_name="srs-response", inputs=[tensor], outputs=[{"name": "score"}], raw_input_contents=[crop.tobytes()]
    )
    request.parameters["roi"].string_param = "GTV"
    return bytes(request.SerializeToString())


def _request(index: int, rng: random.Random, good: list, files: dict[str, bytes]) -> tuple[str, bytes, dict]:
    path, body, headers = rng.choice(good)
    if index % 7 == 0:
        path, body, headers = V1, mutated_study(files, rng), ZIP
    elif rng.random() < 0.9:
        body = mutated(body, rng)
    if rng.random() < 0.1:
        headers = {**headers, "Inference-Header-Content-Length": rng.choice(HEADER_LENGTHS)}
    if rng.random() < 0.05:
        headers = {**headers, "Content-Type": rng.choice(CONTENT_TYPES)}
    if rng.random() < 0.02:
        headers = {**headers, "Content-Encoding": rng.choice(("gzip", "deflate", "br", "identity", "x"))}
    if rng.random() < 0.02:
        path = rng.choice(PATHS)
    return path, body, headers


def _ask_rest(connection: http.client.HTTPConnection, rng: random.Random, path: str, body: bytes, headers: dict) -> int:
    """One request on a persistent connection, some in chunks without a length."""
    given = (body[at : at + 7000] for at in range(0, len(body), 7000)) if rng.random() < 0.1 and body else body
    connection.request(rng.choice(["POST"] * 30 + ["PUT", "GET"]), path, given, headers)
    reply = connection.getresponse()
    content = reply.read()
    assert reply.status == 200 or reply.status in REFUSED, (path, headers, content[:200])
    if reply.status != 200:
        assert json.loads(content)["code"] != "INTERNAL"
        assert b"Traceback" not in content
    if reply.status == 503:
        assert reply.headers["retry-after"] == "1"
    return reply.status


def _ask_raw(port: int, rng: random.Random, path: str, body: bytes, headers: dict) -> int:
    """Bytes that only resemble HTTP: false lengths, pipelined requests, damaged heads; then the caller disconnects."""
    lying = rng.choice((len(body), len(body) // 2, len(body) + 50, 10**18))
    length = rng.choice((f"Content-Length: {lying}", "Transfer-Encoding: chunked", "Content-Length: -1", "X: y"))
    lines = [f"POST {path} HTTP/1.1", "Host: x", length, *(f"{name}: {value}" for name, value in headers.items())]
    one = "\r\n".join([*lines, "", ""]).encode() + body
    sent = one * rng.choice((1, 3)) if rng.random() < 0.5 else mutated(one, rng, reach=200)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        try:
            line.sendall(sent)
            line.shutdown(socket.SHUT_WR)
            content = line.recv(65536)
        except OSError:
            return 0
    status = int(content[9:12]) if content.startswith(b"HTTP/1.1 ") else 0
    assert status in {0, 200, *REFUSED}, content[:300]
    assert b"Traceback" not in content
    return status


def _ask_grpc(channel: grpc.Channel, message: bytes) -> str:
    """A call whose message is any bytes."""
    call = channel.unary_unary(INFER).future(message, timeout=60)
    code = str(call.code().name)
    assert code == "OK" or code in REFUSED_GRPC, call.details()
    return code


def memory_mb(pid: int, field: str = "VmRSS") -> int:
    """Resident memory now, or since ``forget_peak`` its highest (``VmHWM``)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(field))


def forget_peak(pid: int) -> None:
    """Resets the highest memory that was measured."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
