"""Refuses a network at the start of a run, if it could not be trained, exported or served.

Building a network needs Keras, which takes seconds to import. So a built-in network, whose settings are checked where
they are read, is built only where its description is needed; a user's own is built as soon as it is named.
"""

from typing import TYPE_CHECKING

from components.common.settings import StudySettings

if TYPE_CHECKING:
    from components.model.network import Network


def check_own_network(study: StudySettings) -> None:
    """Builds and checks the network of a study if it is a user's own; raises as ``checked_network``."""
    if is_own(study):
        checked_network(study)


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
    check_cost(network, study.train, study.split.members)
    return network
