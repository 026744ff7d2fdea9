"""Untrusted files of a golden case: arrays must match their headers, and the geometry must be plausible."""

import io
import json

import numpy as np
import pytest

from components.common.errors import BundleError
from components.model.golden import GOLDEN_FILES, GoldenCase
from tests.components.model.bundles import MEMBERS


@pytest.fixture(scope="module")
def content(bundle) -> dict[str, bytes]:
    return {name: (bundle / name).read_bytes() for name in GOLDEN_FILES}


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def with_head(text: str, data: bytes = b"") -> bytes:
    """A ``.npy`` file with any head."""
    head = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + data


ARRAYS = {
    "2^40 numbers": with_head("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }", bytes(64)),
    "one number more": with_head("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", bytes(12)),
    "one number less": with_head("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", bytes(12)),
    "negative": with_head("{'descr': '<f4', 'fortran_order': False, 'shape': (-3, -1), }", bytes(12)),
    "float64": npy(np.zeros((151, 151))),
    "column order": npy(np.asfortranarray(np.zeros((151, 151), np.float32))),
    "objects": npy(np.array([{"a": 1}], object)),
    "code for a shape": with_head("{'descr': '<f4', 'fortran_order': False, 'shape': (print(1),), }"),
    "a deep head": with_head("-" * 110),
    "no head": b"\x93NUMPY\x01\x00",
    "another format": b"\x93NUMPY\x02\x00" + bytes(64),
    "a zip": b"PK\x03\x04" + bytes(64),
    "nothing": b"",
}


@pytest.mark.parametrize("name", [name for name in GOLDEN_FILES if name.endswith(".npy")])
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_that_does_not_match_its_header_is_refused(content, name, array):
    with pytest.raises(BundleError) as error:
        GoldenCase.parse({**content, name: array}, MEMBERS)
    assert error.value.code == "GOLDEN_CASE"


@pytest.mark.parametrize("shape", [(150, 151), (151, 151, 1), (151 * 151,), ()])
def test_the_crop_has_the_networks_shape(content, shape):
    with pytest.raises(BundleError):
        GoldenCase.parse({**content, "golden/crop.npy": npy(np.zeros(shape, np.float32))}, MEMBERS)


def test_there_is_one_probability_per_member(content):
    assert GoldenCase.parse(content, MEMBERS).probabilities.shape == (MEMBERS,)
    for members in (MEMBERS - 1, MEMBERS + 1):
        with pytest.raises(BundleError):
            GoldenCase.parse(content, members)


GEOMETRIES = {
    "far": {"origin_xy_mm": [20_000.1, 0]},
    "none": {"origin_xy_mm": None},
    "a text": {"row_step_xy_mm": "x"},
    "three": {"column_step_xy_mm": [1, 0, 0]},
    "a number": {"column_step_xy_mm": 1},
    "huge": {"column_step_xy_mm": [10**400, 0]},
    "an object": {"contour_xy_mm": {}},
    "no point": {"contour_xy_mm": []},
    "uneven": {"contour_xy_mm": [[1, 2], [3]]},
    "in space": {"contour_xy_mm": [[1, 2, 3]]},
    "more": {"slice_hu": [[0.0]]},
}


@pytest.mark.parametrize("change", GEOMETRIES.values(), ids=GEOMETRIES)
def test_an_invalid_geometry_is_refused(content, change):
    fields = json.loads(content["golden/golden.json"]) | change
    with pytest.raises(BundleError) as error:
        GoldenCase.parse({**content, "golden/golden.json": json.dumps(fields).encode()}, MEMBERS)
    assert error.value.code == "GOLDEN_CASE"


@pytest.mark.parametrize("text", [b"[]", b"{}", b"{", b"[" * 100_000, b'{"origin_xy_mm": NaN}'])
def test_text_that_is_not_a_geometry_is_refused(content, text):
    with pytest.raises(BundleError):
        GoldenCase.parse({**content, "golden/golden.json": text}, MEMBERS)
