"""Generates requests by seed and number, so that a finding can be reproduced."""

import base64
import io
import itertools
import json
import random
import warnings
import zipfile
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
from pydicom.encaps import encapsulate

from components.common.kserve_import import pb
from tests.components.model.bundles import draw_crops
from tests.serving.attacks import CONTENT_TYPES, HEADER_LENGTHS, WORDS, mutated
from tests.serving.fuzz import odd
from tests.serving.fuzz.entry_points import NAME, Request
from tests.serving.fuzz.studies import SYNTAXES, changed, compressed, entry, frames_of, zip_of
from tests.serving.studies import study_files

Headers = tuple[tuple[str, str], ...]

V1, V2 = f"/v1/models/{NAME}:predict", f"/v2/models/{NAME}/infer"
LENGTH = "Inference-Header-Content-Length"
PATHS = ["/", "/metrics", "/openapi.json", "/v1/models", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models"]
PATHS += [V1, V2, *(f"/{v}/models/{NAME}{rest}" for v in ("v1", "v2") for rest in ("", "/ready", "/versions/7"))]
PIECES = ("..", ".", "%00", "%2e%2e", "%2F", "%ff", "é", "versions", "7", "infer", ":predict", NAME, "x" * 3000, "")
QUERIES = ("", "roi=GTV", "roi=1", "roi=x&roi=y", "ROI=1", "rtstruct_uid=1.2", "roi=%ff", "key=1", "&&=", "roi=%00")
QUERIES += ("roi=" + "x" * 300,)


class Generator:
    """The requests of a seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        uids = (f"1.2.3.{number}" for number in itertools.count(1))
        with mock.patch("tests.serving.studies.generate_uid", side_effect=uids):
            self._files = study_files(radius_mm=5.0, slices=9)
        self._zip = zip_of(self._files, zipfile.ZIP_DEFLATED)
        self._crop = draw_crops(1, np.random.default_rng(0))
        self._frames = frames_of(self._files)
        self._kinds: list[tuple[int, Callable[[random.Random], Request]]] = [
            *((16, self.v1_json), (16, self.v2_json), (10, self.bytes_of_json), (10, self.v2_binary)),
            *((10, self.message), (6, self.bytes_of_message), (5, self.form), (8, self.address)),
            *((6, self.zip_records), (5, self.zip_contents), (5, self.dicom), (1, self.dicom_bytes), (1, self.codec)),
            (1, self.good),
        ]

    def make(self, number: int) -> Request:
        """The request of a number."""
        rng = random.Random(f"{self._seed}:{number}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, of the odd values that are meant
            return rng.choices([make for _, make in self._kinds], [weight for weight, _ in self._kinds])[0](rng)

    def good(self, rng: random.Random) -> Request:
        """A valid request, which must be answered."""
        if rng.random() < 0.3:
            return Request("good", self._zip)
        crop = self._crop + np.float32(rng.uniform(-50, 50))
        if rng.random() < 0.5:
            return Request("good", json.dumps({"instances": [crop[0].round(1).tolist()]}).encode())
        return Request("good", self._sent_message(crop), grpc=True)

    def v1_json(self, rng: random.Random) -> Request:
        """A V1 body whose parts are changed."""
        body = {"instances": [self._instance(rng) for _ in range(rng.choice((1, 1, 1, 2, 9)))]}
        return self._rest("v1 json", V1, _dumped(odd.change_json(body, rng), rng), rng)

    def _instance(self, rng: random.Random) -> Any:
        zipped = base64.b64encode(self._zip if rng.random() < 0.02 else zip_of({"a.dcm": b"x"})).decode()
        kind = rng.random()
        if kind < 0.3:
            return {"dicom_zip": zipped, "roi": rng.choice(("GTV", 1, None)), "rtstruct_uid": ""}
        if kind < 0.6:
            return {"dicom_files": [zipped, {"b64": zipped}]}
        row = [rng.choice((0, 40, -1000, 1.5, 1e9, "1"))] * 151
        rows: Any = [row] * rng.choice((1, 150, 151)) if kind < 0.62 else [row[:2], row[:3]]
        return rows if rng.random() < 0.5 else {"crop_hu": rows}

    def v2_json(self, rng: random.Random) -> Request:
        """A V2 body whose parts are changed."""
        body = self._v2(rng, {"data": rng.choice(([1, 2], ["UEsDBA=="], [{"b64": "eA=="}]))})
        if rng.random() < 0.03:
            body["inputs"][0]["data"] = [[40.0] * 151] * 151
        return self._rest("v2 json", V2, _dumped(odd.change_json(body, rng), rng), rng)

    @staticmethod
    def _v2(rng: random.Random, more: dict[str, Any]) -> dict[str, Any]:
        crop = {"name": "crop_hu", "datatype": "FP32", "shape": [1, 151, 151], **more}
        dicom = {"name": "dicom_zip", "datatype": "BYTES", "shape": [1], **more}
        outputs = [{"name": rng.choice(odd.TEXTS), "parameters": {"binary_data": True}}]
        body = {"id": "q", "inputs": [rng.choice((crop, dicom))], "parameters": {"roi": "GTV"}}
        return {**body, "outputs": outputs} if rng.random() < 0.5 else body

    def bytes_of_json(self, rng: random.Random) -> Request:
        """A JSON body of which bytes are changed."""
        path = rng.choice((V1, V2))
        body = {"instances": [self._instance(rng)]} if path == V1 else self._v2(rng, {"data": [1, 2, 3]})
        return self._rest("bytes of json", path, mutated(json.dumps(body).encode(), rng), rng)

    def v2_binary(self, rng: random.Random) -> Request:
        """Binary tensors whose sizes, shapes and lengths do not match."""
        raw = rng.choice((self._crop.tobytes(), bytes(rng.choice((0, 4, 91204, 9))), _elements(rng, self._zip)))
        size = rng.choice((len(raw), len(raw), len(raw) - 1, 0, 2**31, -1))
        body = self._v2(rng, {"parameters": {"binary_data_size": size}})
        head = _dumped(odd.change_json(body, rng) if rng.random() < 0.6 else body, rng)
        length = rng.choice([str(len(head))] * 8 + [*HEADER_LENGTHS, str(len(head) + 1)])
        return self._rest("v2 binary", V2, head + raw, rng, ((LENGTH, length),))

    def _sent_message(self, crop: Any) -> bytes:
        tensor = {"name": "crop_hu", "datatype": "FP32", "shape": crop.shape}
        sent = pb.ModelInferRequest(model_name=NAME, inputs=[tensor], raw_input_contents=[crop.tobytes()])
        return bytes(sent.SerializeToString())

    def message(self, rng: random.Random) -> Request:
        """A ModelInferRequest of odd fields."""
        name, own = rng.choice([NAME] * 30 + ["", "other"]), rng.choice(("", "q", "x" * 300))
        sent = pb.ModelInferRequest(model_name=name, id=own)
        for _ in range(rng.choice((1, 1, 1, 1, 0, 2, 40))):
            name, datatype = rng.choice([*odd.TEXTS[:2] * 4, ""]), rng.choice([*odd.TEXTS[2:4] * 4, "x"])
            one = sent.inputs.add(name=name, datatype=datatype)
            one.shape.extend(rng.choice(([1, 151, 151], [1], [], [0], [-1], [2**62, 4], [1] * 50, [2**31, 151, 151])))
            _fill(one.contents, rng, self._zip)
        if rng.random() < 0.6:
            given = (self._crop.tobytes(), b"", b"\0" * 9, _elements(rng, self._zip))
            sent.raw_input_contents.extend(rng.choice(given) for _ in range(rng.choice((1, 1, 1, 2, 0))))
        for _ in range(rng.choice((0, 0, 1, 12, 33, 100))):
            sent.outputs.add(name=rng.choice(odd.TEXTS))
        for name in rng.sample(("roi", "rtstruct_uid", "binary_data_output", "x"), rng.choice((0, 1, 2))):
            _set(sent.parameters[name], rng)
        return Request("grpc", sent.SerializeToString(), grpc=True)

    def bytes_of_message(self, rng: random.Random) -> Request:
        """A message of which bytes are changed."""
        body = self._sent_message(self._crop[:, :9]) if rng.random() < 0.9 else self._sent_message(self._crop)
        return Request("bytes of grpc", mutated(body, rng, reach=200), grpc=True)

    def form(self, rng: random.Random) -> Request:
        """A form, whole or damaged."""
        bound = rng.choice(("b", "-" * 30 + "1", "x" * 80, ""))
        zipped = self._zip if rng.random() < 0.05 else b"PK\x03\x04"
        parts = [("roi", b"GTV"), ("file", zipped), ("f", b"\0" * 128 + b"DICM")]
        body = b""
        for name, data in rng.sample(parts, rng.choice((1, 2, 3))) * rng.choice((1, 1, 1, 3)):
            file = rng.choice(("", '; filename="x.dcm"', "; filename*=UTF-8''x"))
            head = f'--{bound}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
            body += head.encode() + data + b"\r\n"
        body += f"--{bound}--\r\n".encode()
        body = mutated(body, rng) if rng.random() < 0.7 else body
        return self._rest("form", V1, body, rng, (("Content-Type", f"multipart/form-data; boundary={bound}"),))

    def address(self, rng: random.Random) -> Request:
        """Any method to any address with any query and headers."""
        path = rng.choice(PATHS)
        if rng.random() < 0.6:
            pieces = path.split("/")
            pieces[rng.randrange(len(pieces))] = rng.choice(PIECES)
            path = "/" + "/".join(pieces).lstrip("/")
        path = "".join(character if character.isascii() else "%C3%A9" for character in path)
        query = rng.choice(QUERIES)
        method = rng.choice(("GET", "GET", "GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE", "X"))
        names = ("Content-Encoding", "Content-Length", "Accept", "Host", "Expect", "X-Forwarded-For", LENGTH)
        values = ("", "0", "-1", "x", "9" * 30, "*/*", "\xff", "gzip")
        headers = [(rng.choice(names), rng.choice(values)) for _ in range(2)]
        body = rng.choice((b"", b"{}", b"x")) if method not in ("GET", "HEAD") else b""
        return Request("address", body, path + ("?" + query if query else ""), method, tuple(headers))

    def zip_records(self, rng: random.Random) -> Request:
        """A zip whose records are false."""
        some = rng.sample(list(self._files), 2) if rng.random() < 0.2 else []
        files = {name: self._files[name] for name in some} or {"a.dcm": b"x" * 50}
        data = odd.change_zip(zip_of(files, rng.choice(odd.ZIP_METHODS)), rng)
        return self._rest("zip records", V1, mutated(data, rng) if rng.random() < 0.2 else data, rng)

    def zip_contents(self, rng: random.Random) -> Request:
        """A zip of odd names and contents."""
        contents = (b"", b"x", bytes(10_000), b"\0" * 128 + b"DICM", self._files["RS.dcm"], rng.randbytes(99))
        contents += (zip_of({"a": b"x"}),)
        buffer = io.BytesIO()
        with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", rng.choice(odd.ZIP_METHODS)) as zipped:
            warnings.simplefilter("ignore")  # one name twice is meant
            for _ in range(rng.choice((0, 1, 2, 5, 5, 2100 if rng.random() < 0.02 else 9))):
                zipped.writestr(entry(rng.choice(odd.ZIP_NAMES) or "a", zipped.compression), rng.choice(contents))
        return self._rest("zip contents", V1, buffer.getvalue(), rng)

    def dicom(self, rng: random.Random) -> Request:
        """A study whose elements are changed: most often the RTSTRUCT's, or the same one in every slice."""
        files = dict(self._files)
        if rng.random() < 0.6:
            return self._study("dicom", files | {"RS.dcm": changed(files["RS.dcm"], rng)}, rng)
        seed, slices = rng.random(), [name for name in files if name.startswith("CT")]
        some = slices if rng.random() < 0.5 else rng.sample(slices, 2)
        return self._study("dicom", files | {name: changed(files[name], random.Random(seed)) for name in some}, rng)

    def dicom_bytes(self, rng: random.Random) -> Request:
        """A study of which bytes are changed."""
        name = rng.choice(["RS.dcm"] * 5 + list(self._files))
        return self._study("bytes of dicom", self._files | {name: mutated(self._files[name], rng, reach=3000)}, rng)

    def codec(self, rng: random.Random) -> Request:
        """A study whose slices are compressed, and whose frames are damaged or declare another size."""
        uid, frame = rng.choice(self._frames)
        uid = rng.choice(SYNTAXES) if rng.random() < 0.1 else uid
        frames = [odd.framed(frame, rng)] * rng.choice((1, 1, 1, 2, 0))
        data = encapsulate(frames, has_bot=rng.random() < 0.5) if frames else b""
        files = {name: compressed(one, uid, data) for name, one in self._files.items() if name.startswith("CT")}
        return self._study("codec", self._files | files, rng)

    def _study(self, kind: str, files: dict[str, bytes], rng: random.Random) -> Request:
        if rng.random() < 0.1:
            body = {"instances": [{"dicom_files": [base64.b64encode(data).decode() for data in files.values()]}]}
            return Request(kind, json.dumps(body).encode())
        return Request(kind, zip_of(files), V1 + rng.choice(("", "", "?roi=GTV", "?roi=1")))

    @staticmethod
    def _rest(kind: str, path: str, body: bytes, rng: random.Random, headers: Headers = ()) -> Request:
        if rng.random() < 0.05:
            headers = (*headers, ("Content-Type", rng.choice(CONTENT_TYPES)))
        if rng.random() < 0.03:
            headers = (*headers, (LENGTH, rng.choice(HEADER_LENGTHS)))
        if rng.random() < 0.03:
            path += "?" + rng.choice(QUERIES)
        return Request(kind, body, path, headers=headers)


def _dumped(value: Any, rng: random.Random) -> bytes:
    """JSON text; some with a token that JSON does not have, or a repeated key."""
    try:
        text = json.dumps(value).encode()
    except RecursionError:
        text = b"[" * 5000
    if rng.random() < 0.05:
        at = rng.randrange(max(1, len(text)))
        text = text[:at] + rng.choice(WORDS) + text[at:]
    return text


def _elements(rng: random.Random, zipped: bytes) -> bytes:
    """A raw BYTES tensor whose lengths may be false."""
    given = [rng.choice((b"", b"PK\x03\x04", b"x" * 50)) for _ in range(rng.choice((1, 1, 2, 9)))]
    given += [zipped] if rng.random() < 0.02 else []
    lengths = [odd.number(rng, 4) if rng.random() < 0.2 else len(one).to_bytes(4, "little") for one in given]
    return b"".join(length + one for length, one in zip(lengths, given, strict=True))


def _fill(contents: Any, rng: random.Random, zipped: bytes) -> None:
    kind = rng.randrange(8)
    if kind == 0:
        contents.fp32_contents.extend([1.0] * rng.choice((1, 22801)))
    elif kind == 1:
        one = zipped if rng.random() < 0.02 else rng.choice((b"", b"PK", b"x"))
        contents.bytes_contents.extend([one] * rng.choice((1, 9)))
    elif kind == 2:
        contents.int_contents.extend([1, 2])
    elif kind == 3:
        contents.fp64_contents.extend([float("nan")])


def _set(parameter: Any, rng: random.Random) -> None:
    kind = rng.randrange(4)
    if kind == 0:
        parameter.string_param = rng.choice(("GTV", "", "x" * 300, "é"))
    elif kind == 1:
        parameter.int64_param = rng.choice((0, 1, -1, 2**62))
    elif kind == 2:
        parameter.bool_param = True
