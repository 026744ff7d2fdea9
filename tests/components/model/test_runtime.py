"""Opening a bundle: valid ones predict, others are refused, and no heavy library is imported."""

import dataclasses
import functools
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import helper, numpy_helper

from components.common.errors import BundleError, InputError
from components.common.files import digest_of, digest_of_file, read_json, write_json
from components.model import export, runtime
from components.model.manifest import ADDED_BY_VERSION_2, GRAPH, Manifest
from components.model.runtime import Ensemble, check_crops
from components.model.signing import SigningKey
from tests.components.model.bundles import draw_crops, make_bundle

ROOT = Path(__file__).parents[3]


@pytest.fixture
def copy(bundle, tmp_path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def reseal(folder: Path, **changes) -> None:
    """Changes manifest fields and gives the manifest the digest that fits, as a careful forger would."""
    fields = {**read_json(folder / "manifest.json"), **changes, "digest": ""}
    write_json(folder / "manifest.json", {**fields, "digest": digest_of(fields)})


def refused(folder: Path) -> str:
    with pytest.raises(BundleError) as error:
        Ensemble.open(folder)
    assert error.value.hint  # whatever is wrong with a bundle, something can be done
    return error.value.code


def test_opens_and_predicts(bundle):
    ensemble = Ensemble.open(bundle, threads=1)
    crops = draw_crops(5, np.random.default_rng(3))
    members = ensemble.probabilities(crops)
    for row, answer in zip(members.astype(np.float64), ensemble.answer(crops), strict=True):
        assert answer.probability == pytest.approx(row.mean())
        assert answer.vote_fraction == (row > 0.5).mean()
        assert answer.spread == pytest.approx(row.std())
        assert answer.score == answer.probability
        assert answer.non_responder == (answer.score > ensemble.manifest.cut_off)


def test_a_bundle_of_version_1_answers_as_before_and_without_a_calibrated_probability(bundle, copy):
    fields = read_json(copy / "manifest.json")
    for name in ADDED_BY_VERSION_2:
        del fields[name]
    write_json(copy / "manifest.json", fields)
    reseal(copy, version=1)
    crops = draw_crops(2, np.random.default_rng(3))
    former, present = Ensemble.open(copy, threads=1), Ensemble.open(bundle, threads=1)
    np.testing.assert_array_equal(former.probabilities(crops), present.probabilities(crops))
    assert [answer.calibrated_probability for answer in former.answer(crops)] == [None, None]
    assert None not in [answer.calibrated_probability for answer in present.answer(crops)]


def test_votes_are_the_score_where_the_settings_say_so(copy):
    reseal(copy, ensemble_score="vote")
    (answer,) = Ensemble.open(copy).answer(draw_crops(1, np.random.default_rng(4)))
    assert answer.score == answer.vote_fraction


def test_a_calibrated_probability_is_the_platt_scaled_score(bundle, copy):
    (answer,) = Ensemble.open(bundle).answer(draw_crops(1, np.random.default_rng(4)))
    odds = (answer.score / (1 - answer.score)) ** 1.5 * np.exp(-0.25)
    assert answer.calibrated_probability == pytest.approx(odds / (1 + odds))
    reseal(copy, calibration=None)
    (answer,) = Ensemble.open(copy).answer(draw_crops(1, np.random.default_rng(4)))
    assert answer.calibrated_probability is None


def test_many_crops_give_the_same_results_as_each_alone(bundle):
    ensemble = Ensemble.open(bundle)
    crops = draw_crops(21, np.random.default_rng(6))
    together = ensemble.probabilities(crops)
    alone = np.concatenate([ensemble.probabilities(crop[np.newaxis]) for crop in crops])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_refuses_an_empty_folder(tmp_path):
    assert refused(tmp_path) == "BUNDLE_MISSING"


@pytest.mark.parametrize("name", ["ensemble.onnx", "golden/crop.npy", "golden/golden.json"])
def test_refuses_a_changed_or_missing_file(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    assert refused(copy) == "BUNDLE_DAMAGED"
    (copy / name).unlink()
    assert refused(copy) == "BUNDLE_DAMAGED"


def test_refuses_a_changed_manifest(copy):
    fields = read_json(copy / "manifest.json")
    write_json(copy / "manifest.json", {**fields, "cut_off": 0.1})
    assert refused(copy) == "BUNDLE_DAMAGED"
    (copy / "manifest.json").write_text("{")
    assert refused(copy) == "BUNDLE_DAMAGED"
    (copy / "manifest.json").write_text("[]")
    assert refused(copy) == "BUNDLE_UNKNOWN"


def test_refuses_another_kind_or_version(copy):
    reseal(copy, version=99)
    assert refused(copy) == "BUNDLE_UNKNOWN"


def test_refuses_a_manifest_without_a_field(copy):
    fields = read_json(copy / "manifest.json")
    del fields["members"]
    write_json(copy / "manifest.json", {**fields, "digest": digest_of({**fields, "digest": ""})})
    assert refused(copy) == "BUNDLE_DAMAGED"


def test_refuses_an_unknown_image_definition(copy):
    definition = {**read_json(copy / "manifest.json")["image_definition"], "version": 2}
    reseal(copy, image_definition=definition, image_digest=digest_of(definition))
    assert refused(copy) == "IMAGE_DEFINITION_UNKNOWN"


@pytest.mark.parametrize(
    "change",
    [
        {"size_px": 152},
        {"size_px": 100_000},
        {"size_mm": 0.99},
        {"size_mm": 1000.5},
        {"size_mm": 1e308},
        {"outside_hu": -32_769},
        {"outside_hu": 65_536},
        {"slice_rule": []},
    ],
)
def test_refuses_a_definition_that_cuts_no_crop_of_the_network(copy, change):
    definition = {**read_json(copy / "manifest.json")["image_definition"], **change}
    reseal(copy, image_definition=definition, image_digest=digest_of(definition))
    assert refused(copy) == "IMAGE_DEFINITION_UNKNOWN"


def test_refuses_a_definition_that_cuts_another_golden_crop(copy):
    definition = {**read_json(copy / "manifest.json")["image_definition"], "size_mm": 41.0}
    reseal(copy, image_definition=definition, image_digest=digest_of(definition))
    assert refused(copy) == "GOLDEN_CASE"


def reseal_file(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    reseal(folder, files={**read_json(folder / "manifest.json")["files"], name: digest_of_file(folder / name)})


@pytest.mark.parametrize(
    "change",
    [
        {"column_step_xy_mm": [0, 0]},
        {"column_step_xy_mm": [1e-320, 0]},
        {"row_step_xy_mm": [0.7, 0]},
        {"origin_xy_mm": [20_000, -20_000]},
        {"contour_xy_mm": [[0, 0]]},
    ],
)
def test_refuses_a_golden_geometry_that_cuts_nothing(copy, change):
    fields = read_json(copy / "golden" / "golden.json") | change
    reseal_file(copy, "golden/golden.json", json.dumps(fields).encode())
    assert refused(copy) == "GOLDEN_CASE"


@pytest.mark.parametrize("name", ["slice_hu.npy", "crop.npy", "probabilities.npy"])
@pytest.mark.parametrize("number", [np.nan, np.inf, 3e38])
def test_refuses_nan_and_infinity_in_the_golden_case(copy, name, number):
    array = np.full_like(np.load(copy / "golden" / name), number)
    file = io.BytesIO()
    np.save(file, array)
    reseal_file(copy, f"golden/{name}", file.getvalue())
    assert refused(copy) == "GOLDEN_CASE"


def test_refuses_another_graph_under_the_same_golden_case(copy, tmp_path):
    other = make_bundle(tmp_path / "other", seed=2)
    shutil.copy(tmp_path / "other" / "ensemble.onnx", copy / "ensemble.onnx")
    files = {**read_json(copy / "manifest.json")["files"], "ensemble.onnx": other.files["ensemble.onnx"]}
    reseal(copy, files=files)
    assert refused(copy) == "GOLDEN_CASE"


def test_refuses_a_graph_that_needs_too_much_memory_before_onnx_runtime_opens_it(copy, monkeypatch):
    graph = onnx.load(copy / GRAPH)
    graph.graph.initializer.append(numpy_helper.from_array(np.array([2**32], np.int64), "big"))
    graph.graph.node.append(helper.make_node("ConstantOfShape", ["big"], ["huge"]))
    reseal_file(copy, GRAPH, graph.SerializeToString())
    monkeypatch.setattr(runtime, "open_session", lambda *_: pytest.fail("the runtime was given the graph"))
    assert refused(copy) == "BUNDLE_DAMAGED"


def test_one_crop_is_computed_at_a_time(bundle, monkeypatch):
    ensemble, crops = Ensemble.open(bundle), draw_crops(3, np.random.default_rng(8))
    expected = np.concatenate([ensemble.probabilities(crops[[row]]) for row in range(3)])
    given, run_session = [], runtime.run_session
    monkeypatch.setattr(runtime, "run_session", lambda *call: given.append(call[1].shape) or run_session(*call))
    assert np.array_equal(ensemble.probabilities(crops), expected)
    assert given == [(1, 151, 151)] * 3


def test_a_bundle_opens_whether_its_members_are_computed_at_once_or_part_by_part(tmp_path, monkeypatch):
    """Bundles of earlier releases compute all members at once."""
    crops = draw_crops(2, np.random.default_rng(8))
    answers, nodes, written = [], [], export.ensemble_graph
    for name, part_bytes in (("at once", np.inf), ("by parts", 1)):
        monkeypatch.setattr(export, "ensemble_graph", functools.partial(written, part_bytes=part_bytes))
        make_bundle(tmp_path / name)
        nodes.append(len(onnx.load(tmp_path / name / GRAPH).graph.node))
        answers.append(Ensemble.open(tmp_path / name).probabilities(crops))
    assert nodes[0] < nodes[1]
    np.testing.assert_allclose(*answers, atol=1e-6)


def test_opens_only_bundles_that_the_given_key_signed(copy):
    key = SigningKey(Ed25519PrivateKey.generate())
    with pytest.raises(BundleError) as error:
        Ensemble.open(copy, public_key=key.public)
    assert error.value.code == "BUNDLE_UNSIGNED"
    (copy / "manifest.sig").write_bytes(key.sign((copy / "manifest.json").read_bytes()))
    assert Ensemble.open(copy, public_key=key.public).signed_by == key.public.fingerprint
    reseal(copy, cut_off=0.1)
    with pytest.raises(BundleError) as error:
        Ensemble.open(copy, public_key=key.public)
    assert error.value.code == "BUNDLE_SIGNATURE"


def test_refuses_a_file_that_is_not_a_graph(copy):
    (copy / "ensemble.onnx").write_bytes(b"no graph")
    files = {**read_json(copy / "manifest.json")["files"], "ensemble.onnx": digest_of_file(copy / "ensemble.onnx")}
    reseal(copy, files=files)
    assert refused(copy) == "BUNDLE_DAMAGED"


@pytest.mark.parametrize(
    ("crops", "code"),
    [
        (np.zeros((1, 151, 151)), "CROP_DTYPE"),
        (np.zeros((1, 150, 151), np.float32), "CROP_SHAPE"),
        (np.zeros((0, 151, 151), np.float32), "CROP_SHAPE"),
        (np.zeros((151, 151), np.float32), "CROP_SHAPE"),
        (np.full((1, 151, 151), np.nan, np.float32), "CROP_NOT_FINITE"),
        (np.full((1, 151, 151), np.inf, np.float32), "CROP_NOT_FINITE"),
        (np.full((1, 151, 151), 1e5, np.float32), "CROP_RANGE"),
    ],
)
def test_refuses_invalid_crops(crops, code):
    with pytest.raises(InputError) as error:
        check_crops(crops)
    assert error.value.code == code


def test_the_manifest_round_trip(bundle):
    manifest = Manifest.read(bundle)
    again = json.loads(json.dumps(dataclasses.asdict(manifest)))
    assert digest_of({**again, "digest": ""}) == manifest.digest


def test_serving_imports_neither_tensorflow_nor_mlflow():
    code = (
        "import sys; import serving.server, serving.__main__, components.model.runtime;"
        "print([m for m in ('tensorflow', 'keras', 'mlflow', 'onnx', 'kfp') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert shown.stdout.strip() == "[]"


def changed_graph(bundle, folder, change):
    """A bundle with another graph, sealed again as someone with the tools could."""
    shutil.copytree(bundle, folder)
    model = onnx.load(folder / GRAPH)
    change(model)
    (folder / GRAPH).write_bytes(model.SerializeToString())
    fields = json.loads((folder / "manifest.json").read_text())
    fields["files"][GRAPH] = digest_of_file(folder / GRAPH)
    fields["digest"] = digest_of({**fields, "digest": ""})
    (folder / "manifest.json").write_text(json.dumps(fields))
    return folder


def spread_over_axes(model):
    """Small for one crop, and n^5 times as large for n: no shape of one crop tells."""
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 1, 1, 1, 1, 200, 200), np.float32), "plane"))
    nodes, last = [helper.make_node("ReduceMax", ["crop_hu"], ["each"], axes=[1, 2], keepdims=0)], "plane"
    for axis in range(5):
        shape = [1] * 7
        shape[axis] = -1
        model.graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), f"shape_{axis}"))
        nodes.append(helper.make_node("Reshape", ["each", f"shape_{axis}"], [f"axis_{axis}"]))
        nodes.append(helper.make_node("Add", [last, f"axis_{axis}"], [f"sum_{axis}"]))
        last = f"sum_{axis}"
    nodes.append(helper.make_node("ReduceMax", [last], ["most"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["most", "number/0"], ["nothing"]))
    nodes.append(helper.make_node("Add", ["before", "nothing"], ["probabilities"]))
    model.graph.node[-1].output[0] = "before"
    model.graph.node.extend(nodes)


def test_memory_does_not_grow_with_the_crops_of_a_request(bundle, tmp_path):
    """Twelve crops at once would take 40 GB."""
    folder = changed_graph(bundle, tmp_path / "grows", spread_over_axes)
    crops = draw_crops(12, np.random.default_rng(8))
    expected = Ensemble.open(bundle, threads=1).probabilities(crops)
    np.testing.assert_allclose(Ensemble.open(folder, threads=1).probabilities(crops), expected, atol=1e-6)


def needs_memory(model):
    """200 MB for one crop, by a sum of a column and a row."""
    for name, shape in (("column", (7000, 1)), ("row", (1, 7000))):
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.float32), name))
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(helper.make_node("ReduceMax", ["crop_hu"], ["brightest"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", ["column", "brightest"], ["bright"]))
    model.graph.node.append(helper.make_node("Add", ["bright", "row"], ["plane"]))
    model.graph.node.append(helper.make_node("ReduceMax", ["plane"], ["most"], keepdims=0))
    model.graph.node.append(helper.make_node("Mul", ["most", "number/0"], ["nothing"]))
    model.graph.node.append(helper.make_node("Add", ["before", "nothing"], ["probabilities"]))


def test_a_graph_is_tried_within_a_limit_of_memory(bundle, tmp_path, monkeypatch):
    folder = changed_graph(bundle, tmp_path / "large", needs_memory)
    assert Ensemble.open(folder, threads=1)
    monkeypatch.setattr(runtime, "TRIAL_BYTES", 128 * 2**20)
    assert Ensemble.open(bundle, threads=1)
    assert refused(folder) in ("BUNDLE_TOO_LARGE", "GOLDEN_CASE")


def quotient_of_zeros(model):
    """Not a number for a crop whose brightest pixel is 40 HU; the golden crop has another."""
    model.graph.initializer.append(numpy_helper.from_array(np.array(40, np.float32), "forty"))
    model.graph.node[-1].output[0] = "before"
    for op, given, made in (
        ("ReduceMax", ["crop_hu"], "brightest_of_row"),
        ("ReduceMax", ["brightest_of_row"], "brightest"),
        ("Sub", ["brightest", "forty"], "difference"),
        ("Div", ["difference", "difference"], "quotient"),
        ("Mul", ["before", "quotient"], "probabilities"),
    ):
        over = {"brightest_of_row": {"axes": [2], "keepdims": 0}, "brightest": {"axes": [1], "keepdims": 1}}.get(
            made, {}
        )
        model.graph.node.append(helper.make_node(op, given, [made], **over))


def test_outputs_that_are_not_probabilities_are_never_returned(bundle, tmp_path):
    ensemble = Ensemble.open(changed_graph(bundle, tmp_path / "nan", quotient_of_zeros), threads=1)
    assert ensemble.answer(np.full((1, 151, 151), 39, np.float32))
    with pytest.raises(BundleError, match="ANSWER_INVALID"):
        ensemble.answer(np.full((1, 151, 151), 40, np.float32))
