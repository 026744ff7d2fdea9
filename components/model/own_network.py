"""Refuses a network at the start of a run, if it could not be trained, exported or served.

Building a network needs Keras, which takes seconds to import. So the default network, which is known to pass, is built
only where its description is needed; any other is built and checked before a run begins.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from components.common.errors import BundleError, InputError, SrsError, one_line
from components.common.settings import IMAGE_SIZE_PX, StudySettings, TrainSettings

if TYPE_CHECKING:
    from components.model.network import Network


def check_network(study: StudySettings) -> None:
    """Builds and checks the network of a study, unless it is the default one; raises as ``checked_network``."""
    default = StudySettings()
    same = study.train.network == default.train.network and study.network == default.network
    larger = study.split.bundled_members > default.split.bundled_members
    if not same or larger or study.train.engine not in ("auto", "cpu"):
        with _no_home():
            checked_network(study)


@contextlib.contextmanager
def _no_home() -> Iterator[None]:
    """Keras and what it imports write their configuration to a folder that is removed: there is no home yet."""
    names = ("KERAS_HOME", "MPLCONFIGDIR")
    before = {name: os.environ[name] for name in names if name in os.environ}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.update({name: before.get(name, scratch) for name in names})
        try:
            yield
        finally:
            for name in names:
                del os.environ[name]
            os.environ.update(before)


def is_own(study: StudySettings) -> bool:
    """Whether the network is a function of the user's: ``package.module:function``."""
    return ":" in study.train.network


def checked_network(study: StudySettings) -> "Network":
    """The study's network, which the chosen engine can train, and whose ensemble can be exported and served.

    Raises
    ------
    InputError
        As ``build_network`` and ``engine_of``; ``NETWORK_REFUSED`` for a layer that cannot be exported.
    BundleError
        ``BUNDLE_TOO_LARGE``.
    """
    from components.model.graph_check import check_cost
    from components.model.layer_stack import engine_of
    from components.model.networks.building import build_network

    network = build_network(study)
    if study.train.engine != "auto":
        engine_of(network, study.train.engine, gpus=0)
    if not is_own(study):
        check_cost(network, study.train, study.split.bundled_members)
        return network
    try:
        check_cost(network, study.train, study.split.bundled_members)
        check_graph_of(network, study.train)
    except SrsError:
        raise
    except Exception as error:  # a layer that Keras cannot rebuild, or that the exporter does not expect
        message = f"the network {network.name} cannot be exported: {type(error).__name__}: {one_line(error)}"
        raise InputError(
            "NETWORK_REFUSED", message, "Use standard layers only, neither Lambda nor your own."
        ) from error
    return network


def check_graph_of(network: "Network", settings: TrainSettings) -> None:
    """Compares a network's graph with its Keras model, for random weights and crops.

    Raises
    ------
    BundleError
        ``EXPORT_DIFFERS``, before anything is trained.
    """
    import numpy as np

    from components.model.export import ensemble_graph
    from components.model.keras_export import TOLERANCE, ensemble_model
    from components.model.network import window_scale
    from components.model.onnx_parts import PART_BYTES
    from components.model.session import open_session, run_session

    rng = np.random.default_rng(1)
    members = [
        {name: value + 0.1 * rng.standard_normal(value.shape).astype(np.float32) for name, value in one.items()}
        for one in (network.initial_weights(rng) for _ in range(2))
    ]
    crops = rng.normal(settings.window_level_hu, settings.window_width_hu / 2, (3, IMAGE_SIZE_PX, IMAGE_SIZE_PX))
    given = crops.astype(np.float32)
    expected = np.asarray(ensemble_model(network, [("one", members[0]), ("two", members[1])], settings)(given))
    differences = []
    for part_bytes in (PART_BYTES, 1):  # both members at once, and one after the other, as more would be
        graph = ensemble_graph(network, members, window_scale(settings), part_bytes).SerializeToString()
        differences.append(np.abs(run_session(open_session(graph), given) - expected).max())
    difference = float(np.max(differences))  # NaN stays
    if not difference <= TOLERANCE:
        message = (
            f"the exported network {network.name} differs from its Keras model: "
            f"probabilities by up to {difference:.1e}, where {TOLERANCE:g} is allowed"
        )
        raise BundleError("EXPORT_DIFFERS", message, "Please report it; use other layers meanwhile.")
