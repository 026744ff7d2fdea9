"""Only a graph that export writes for the manifest's settings is opened, and only one whose cost is bounded."""

import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.common.errors import BundleError
from components.common.settings import StudySettings, TrainSettings, resolve
from components.promote import graph_check
from components.promote.export import ensemble_graph
from components.promote.graph_check import check_graph
from components.promote.manifest import GRAPH, Manifest
from components.train.network import weight_shapes
from tests.serving.bundles import MEMBERS, SETTINGS


@pytest.fixture(scope="module")
def manifest(made_bundle) -> Manifest:
    return Manifest.read(made_bundle)


@pytest.fixture(scope="module")
def graph(made_bundle) -> bytes:
    return (made_bundle / GRAPH).read_bytes()


def refused(graph: bytes, manifest: Manifest) -> tuple[str, str]:
    with pytest.raises(BundleError) as error:
        check_graph(graph, manifest)
    return error.value.code, error.value.safe_message


def test_the_graph_that_export_wrote_passes_and_its_memory_is_told(graph, manifest):
    memory = check_graph(graph, manifest)
    first, second = SETTINGS.train.filters_1 * 145 * 145, SETTINGS.train.filters_2 * 14 * 14
    assert 4 * MEMBERS * 2 * (first + second) < memory < 4 * MEMBERS * 2 * (first + second) * 1.3


def test_weights_alone_may_differ(graph, manifest):
    model = onnx.load_from_string(graph)
    kernel = next(one for one in model.graph.initializer if one.name == "dense_1_kernel")
    kernel.raw_data = bytes(len(kernel.raw_data))
    assert check_graph(model.SerializeToString(deterministic=True), manifest) > 0


def add_node(op: str, inputs: list[str], domain: str = "", **attributes) -> Callable[[onnx.ModelProto], None]:
    return lambda model: model.graph.node.append(helper.make_node(op, inputs, ["more"], domain=domain, **attributes))


def initializer(model: onnx.ModelProto, name: str) -> TensorProto:
    return next(one for one in model.graph.initializer if one.name == name)


def external(location: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = initializer(model, "dense_1_kernel")
        length = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    return change


def hungry(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([2**32], np.int64), "big"))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["big"], ["huge"]))
    model.graph.output.append(helper.make_tensor_value_info("huge", TensorProto.FLOAT, [2**32]))


def loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([helper.make_node("Identity", ["condition"], ["go_on"])], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", "one"], ["more"], body=body))


def function(model: onnx.ModelProto) -> None:
    made = helper.make_function("evil", "F", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], [])
    model.functions.append(made)


def sparse(model: onnx.ModelProto) -> None:
    values = helper.make_tensor("values", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("indices", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2**40]))


CHANGES: dict[str, Callable[[onnx.ModelProto], None]] = {
    "external data outside": external("../../../../../etc/passwd"),
    "external data by absolute path": external("/etc/passwd"),
    "external data inside": external("golden/crop.npy"),
    "custom domain of a node": lambda model: setattr(model.graph.node[0], "domain", "evil"),
    "a node of another domain": add_node("Gelu", ["sloped"], "com.microsoft"),
    "import of another domain": lambda model: model.opset_import.append(helper.make_opsetid("evil", 1)),
    "another opset": lambda model: setattr(model.opset_import[0], "version", 18),
    "another format": lambda model: setattr(model, "ir_version", 8),
    "17 GB of zeros": hungry,
    "a loop": loop,
    "a function": function,
    "training information": lambda model: model.training_info.add(),
    "a sparse initializer": sparse,
    "an initializer of 2^40": lambda model: initializer(model, "conv_1_bias").dims.__setitem__(0, 2**40),
    "an unused initializer": lambda model: model.graph.initializer.append(helper.make_tensor("more", 1, [1], [1.0])),
    "an identity": add_node("Identity", ["sloped"]),
    "a tile": add_node("Tile", ["sloped", "by_member"]),
    "padding": lambda model: model.graph.node[4].attribute.append(helper.make_attribute("pads", [10**6] * 4)),
    "a node less": lambda model: model.graph.node.pop(),
    "another order of outputs": lambda model: setattr(model.graph.node[-2].attribute[0], "i", 1),
    "another input": lambda model: setattr(model.graph.input[0], "name", "crop"),
    "another shape of the input": lambda model: setattr(
        model.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 10**6
    ),
    "one more output": lambda model: model.graph.output.append(
        helper.make_tensor_value_info("sloped", TensorProto.FLOAT, None)
    ),
    "the other class": lambda model: setattr(initializer(model, "non_response"), "raw_data", bytes(8)),
    "another window": lambda model: setattr(initializer(model, "window_slope"), "raw_data", b"\0\0\0\1"),
    "a reshape to 2^62": lambda model: setattr(initializer(model, "by_member"), "raw_data", b"\x7f" * 24),
    "metadata": lambda model: model.metadata_props.append(onnx.StringStringEntryProto(key="a", value="b")),
    "words": lambda model: setattr(model, "doc_string", "seen"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_else_a_graph_holds_makes_it_another_graph(graph, manifest, change):
    model = onnx.load_from_string(graph)
    change(model)
    code, message = refused(model.SerializeToString(deterministic=True), manifest)
    assert code == "BUNDLE_DAMAGED"
    assert "not the graph" in message


@pytest.mark.parametrize("more", [b"", b"\0", b"\x12\x00" * 3, b"\x3a\x02\x0a\x00"], ids=repr)
def test_bytes_before_or_behind_it_make_it_another_graph(graph, manifest, more):
    assert refused((graph + more) if more else graph[:-1], manifest)[0] == "BUNDLE_DAMAGED"


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["conv_1_kernel", "output_bias"])
def test_a_weight_that_is_not_finite_is_refused(graph, manifest, name, number):
    model = onnx.load_from_string(graph)
    tensor = initializer(model, name)
    tensor.raw_data = tensor.raw_data[:-4] + np.float32(number).tobytes()
    code, message = refused(model.SerializeToString(deterministic=True), manifest)
    assert (code, "not finite" in message) == ("BUNDLE_DAMAGED", True)


@pytest.mark.parametrize("members", [1, MEMBERS - 1, MEMBERS + 1])
def test_a_graph_of_another_number_of_members_is_refused(graph, manifest, members):
    other = dataclasses.replace(manifest, members=tuple(f"A-{number}" for number in range(members)))
    assert refused(graph, other)[0] == "BUNDLE_DAMAGED"


def with_settings(manifest: Manifest, members: int = 1, **train) -> Manifest:
    settings = dataclasses.asdict(resolve("default", {"train": train}))
    return dataclasses.replace(manifest, settings=settings, members=tuple(map(str, range(members))))


def graph_of(settings: TrainSettings, members: int = 1) -> bytes:
    weights = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(settings).items()}
    return ensemble_graph([weights] * members, settings).SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    ("constant", "what"),
    [
        ("MAX_GRAPH_BYTES", "bytes of weights"),
        ("MAX_GRAPH_MULTIPLICATIONS", "multiplications for one crop"),
        ("MAX_GRAPH_MEMORY_BYTES", "bytes of memory for one crop"),
    ],
)
def test_each_cost_is_taken_at_its_limit_and_refused_one_above(graph, manifest, monkeypatch, constant, what):
    settings = StudySettings.from_dict(manifest.settings).train
    sizes = sum(int(np.prod(shape)) for shape in weight_shapes(settings).values())
    # 4 filters of 7 x 7 at 145 x 145 places; 6 of 5 x 5 x 4 at 14 x 14; then 96 -> 8 -> 5 -> 2.
    products = 49 * 4 * 145**2 + 25 * 4 * 6 * 14**2 + 96 * 8 + 8 * 5 + 5 * 2
    asked = {
        "MAX_GRAPH_BYTES": 4 * MEMBERS * sizes,
        "MAX_GRAPH_MULTIPLICATIONS": MEMBERS * products,
        "MAX_GRAPH_MEMORY_BYTES": check_graph(graph, manifest),
    }[constant]
    monkeypatch.setattr(graph_check, constant, asked)
    check_graph(graph, manifest)
    monkeypatch.setattr(graph_check, constant, asked - 1)
    code, message = refused(graph, manifest)
    assert code == "BUNDLE_TOO_LARGE"
    assert f"{asked:,} {what}; at most {asked - 1:,}" in message


@pytest.mark.parametrize(
    ("members", "train"),
    [
        (999, {"filters_1": 512, "filters_2": 512, "dense_1": 4096, "dense_2": 4096}),
        (1, {"filters_1": 512, "filters_2": 512, "kernel_1": 31, "kernel_2": 31, "pool_1": 1, "pool_2": 1}),
        (200, {}),
        (1, {"filters_1": 512, "pool_1": 1, "pool_2": 16, "kernel_1": 1, "filters_2": 512, "kernel_2": 3}),
    ],
)
def test_settings_that_ask_for_too_much_are_refused_whatever_the_graph(manifest, members, train):
    assert refused(b"", with_settings(manifest, members, **train))[0] == "BUNDLE_TOO_LARGE"


def test_the_ensembles_of_the_paper_and_ten_times_more_members_pass(manifest):
    for members in (10, 100):
        check_graph(graph_of(TrainSettings(), members), with_settings(manifest, members))


def test_a_graph_of_version_1_is_these_bytes():
    """Another library that writes them otherwise would make all bundles of before unservable: keep its old version."""
    digest = hashlib.sha256(graph_of(TrainSettings(), 10)).hexdigest()
    assert digest == "6c2018f96207143e85f79af7c3ba00b0f2022d65a487fab7064038829cce45de"
