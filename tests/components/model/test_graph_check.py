"""Only graphs that are small networks of limited cost are opened."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.common.errors import BundleError
from components.common.limits import MAX_GRAPH_NODES
from components.common.settings import TrainSettings
from components.model import graph_check
from components.model.export import ensemble_graph
from components.model.graph_check import check_cost, check_graph
from components.model.manifest import GRAPH, Manifest
from components.model.network import window_scale
from tests.components.model.bundles import MEMBERS, SETTINGS
from tests.components.networks import network_of


@pytest.fixture(scope="module")
def manifest(bundle) -> Manifest:
    return Manifest.read(bundle)


@pytest.fixture(scope="module")
def graph(bundle) -> bytes:
    return (bundle / GRAPH).read_bytes()


def refused(graph: bytes, manifest: Manifest) -> tuple[str, str]:
    with pytest.raises(BundleError) as error:
        check_graph(graph, manifest)
    return error.value.code, error.value.safe_message


def test_an_exported_graph_passes_and_its_memory_is_returned(graph, manifest):
    memory = check_graph(graph, manifest)
    first, second = SETTINGS.network["filters_1"] * 145 * 145, SETTINGS.network["filters_2"] * 14 * 14
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


#: The tensor by which the features of all members are reshaped: -1, members, channels, height x width.
SHAPE = f"shape/-1x{MEMBERS}x6x16"

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
    "a tile": add_node("Tile", ["sloped", SHAPE]),
    "padding": lambda model: model.graph.node[4].attribute.append(helper.make_attribute("pads", [10**6] * 4)),
    "a node less": lambda model: model.graph.node.pop(),
    "another input": lambda model: setattr(model.graph.input[0], "name", "crop"),
    "another shape of the input": lambda model: setattr(
        model.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 10**6
    ),
    "one more output": lambda model: model.graph.output.append(
        helper.make_tensor_value_info("sloped", TensorProto.FLOAT, None)
    ),
    "a reshape to 2^62": lambda model: setattr(initializer(model, SHAPE), "raw_data", b"\x7f" * 32),
    "an unused initializer": lambda model: model.graph.initializer.append(helper.make_tensor("more", 1, [1], [1.0])),
    "another order of outputs": lambda model: setattr(model.graph.node[-2].attribute[0], "i", 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_graph_that_is_not_a_small_network_is_refused(graph, manifest, change):
    model = onnx.load_from_string(graph)
    change(model)
    assert refused(model.SerializeToString(), manifest)[0] in ("BUNDLE_DAMAGED", "BUNDLE_TOO_LARGE")


#: What makes a graph another one without danger is for its digest and the golden case to find.
HARMLESS: dict[str, Callable[[onnx.ModelProto], None]] = {
    "an identity": add_node("Identity", ["sloped"]),
    "the other class": lambda model: setattr(initializer(model, "non_response"), "raw_data", bytes(8)),
    "another window": lambda model: setattr(initializer(model, "window_slope"), "raw_data", b"\0\0\0\1"),
    "metadata": lambda model: model.metadata_props.append(onnx.StringStringEntryProto(key="a", value="b")),
    "words": lambda model: setattr(model, "doc_string", "seen"),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_graphs_that_only_the_golden_case_refuses(graph, manifest, change):
    model = onnx.load_from_string(graph)
    change(model)
    assert check_graph(model.SerializeToString(), manifest) > 0


@pytest.mark.parametrize("damaged", [b"", b"\0", b"\x12\x00", b"no graph at all"], ids=repr)
def test_bytes_that_are_not_a_graph_are_refused(manifest, damaged):
    assert refused(damaged, manifest)[0] == "BUNDLE_DAMAGED"


def test_millions_of_nodes_are_refused_within_the_budget(graph, manifest):
    """Empty nodes of two bytes each, as many as a file may hold: protobuf makes an object of each."""
    few = graph + b"\x3a\x02\x0a\x00" * (MAX_GRAPH_NODES + 1)
    assert refused(few, manifest)[0] in ("BUNDLE_DAMAGED", "BUNDLE_TOO_LARGE")
    many = b"\x3a\x80\x80\x80\x0f" + b"\x0a\x00" * (31 * 2**19)  # a graph of that many nodes
    assert refused(many, manifest)[0] in ("BUNDLE_DAMAGED", "BUNDLE_TOO_LARGE")


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


#: 4 filters of 7 x 7 at 145 x 145 places; 6 of 5 x 5 x 4 at 14 x 14; then 96 -> 8 -> 5 -> 2.
PRODUCTS = MEMBERS * (49 * 4 * 145**2 + 25 * 4 * 6 * 14**2 + 96 * 8 + 8 * 5 + 5 * 2)


def costs(graph: bytes) -> tuple[int, int, int]:
    """Memory, multiplications and nodes, as they are found."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(graph_check, "_limit", lambda *given: found.append(given[1]))
        found: list[int] = []
        graph_check.measure_graph({"members": MEMBERS}, [graph])
    return (*found, len(onnx.load_from_string(graph).graph.node))


def test_costs_are_those_of_the_arithmetic(graph, manifest):
    memory, multiplications, nodes = costs(graph)
    assert PRODUCTS < multiplications < 1.2 * PRODUCTS  # and one for each element of the layers between
    assert (memory, nodes) == (check_graph(graph, manifest), 24)


@pytest.mark.parametrize(
    ("constant", "place"), [("MAX_GRAPH_MEMORY_BYTES", 0), ("MAX_GRAPH_MULTIPLICATIONS", 1), ("MAX_GRAPH_NODES", 2)]
)
def test_each_cost_is_accepted_at_its_limit_and_refused_above_it(graph, monkeypatch, constant, place):
    amount = costs(graph)[place]
    monkeypatch.setattr(graph_check, constant, amount)
    graph_check.measure_graph({"members": MEMBERS}, [graph])
    monkeypatch.setattr(graph_check, constant, amount - 1)
    with pytest.raises(BundleError, match=f"{amount:,} .*; at most {amount - 1:,}") as error:
        graph_check.measure_graph({"members": MEMBERS}, [graph])
    assert error.value.code == "BUNDLE_TOO_LARGE"


def test_a_file_is_accepted_at_its_limit_and_refused_above_it(graph, manifest, monkeypatch):
    monkeypatch.setattr(graph_check, "MAX_GRAPH_BYTES", len(graph))
    check_graph(graph, manifest)
    monkeypatch.setattr(graph_check, "MAX_GRAPH_BYTES", len(graph) - 1)
    assert refused(graph, manifest)[0] == "BUNDLE_TOO_LARGE"


@pytest.mark.parametrize("members", [10, 100])
def test_the_ensembles_of_the_paper_and_ten_times_more_members_pass(manifest, members):
    network = network_of()
    weights = {name: np.zeros(shape, np.float32) for name, shape in network.shapes.items()}
    graph = ensemble_graph(network, [weights] * members, window_scale(TrainSettings())).SerializeToString()
    check_graph(graph, dataclasses.replace(manifest, members=tuple(map(str, range(members)))))
    check_cost(network, TrainSettings(), members)


def test_checking_a_graph_needs_no_keras(bundle):
    """The predictor's image has none."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['keras', 'jax', 'tensorflow', 'mlflow']));"
        "from components.model.graph_check import measure_graph;"
        f"measure_graph({{'members': {MEMBERS}}}, [open(sys.argv[1], 'rb').read()])"
    )
    command = [sys.executable, "-c", code, str(bundle / GRAPH)]
    assert subprocess.run(command, check=False, timeout=60, cwd=Path(__file__).parents[3]).returncode == 0


def test_an_ensemble_too_large_to_be_served_is_refused_before_it_is_trained():
    with pytest.raises(BundleError, match="bytes of weights") as error:
        check_cost(network_of(dense_1=4096, pool_1=2, pool_2=1), TrainSettings(), 10)
    assert error.value.code == "BUNDLE_TOO_LARGE"
