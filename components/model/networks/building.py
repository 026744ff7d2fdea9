"""Finds and calls the function that builds a study's network: a built-in one, or a user's own."""

import dataclasses
import importlib
import inspect
import sys
import traceback
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.common.artifacts.splits import Splits
from components.common.errors import InputError
from components.common.network_settings import NETWORKS, settings_of
from components.common.settings import StudySettings
from components.model.keras_backend import keras
from components.model.keras_network import describe
from components.model.network import Network

HINT = "docs/how-to.md, `A network of your own`, shows a complete example."


def build_network(study: StudySettings) -> Network:
    """The network of a study, built and checked.

    Raises
    ------
    InputError
        ``NETWORK_UNKNOWN`` where there is no such function, ``SETTING_INVALID`` for its settings, ``NETWORK_FAILED``
        where it raises an error, ``NETWORK_REFUSED`` where its model cannot be trained.
    """
    name = study.train.network
    function = _function(name)
    given = settings_of(name, NETWORKS.get(name) or _annotated(name, function), study.network)
    keras.utils.clear_session(
        free_memory=False
    )  # so that automatic names of layers do not depend on what was built before
    try:
        with keras.StatelessScope(initialize_variables=False):  # drawing weights would compile a program for each shape
            model = function(*([given] if given is not None else []))
    except Exception as error:
        raise _failed(name, error) from error
    network = describe(name, dataclasses.asdict(given) if given is not None else {}, model)
    keras.utils.clear_session(free_memory=False)  # forgets that the model's weights are still to be drawn
    return network


def network_of(splits: Splits) -> Network:
    """The network of a run; that of a run of release 0.1, which did not describe it, is built from its settings."""
    return Network.from_dict(splits.network) if splits.network else build_network(splits.settings)


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":") if ":" in name else (f"{__package__}.{name}", "", name)
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    place = "Its module must lie in the current folder, on PYTHONPATH, or in the image that runs the pipeline."
    try:
        found = getattr(importlib.import_module(module), function, None)
    except ImportError as error:
        raise InputError("NETWORK_UNKNOWN", f"the network {name} is not found: {error}", f"{place} {HINT}") from error
    except Exception as error:
        raise _failed(name, error) from error
    if not callable(found):
        raise InputError("NETWORK_UNKNOWN", f"the network {name}: its module has no function {function}", HINT)
    return typing.cast(Callable[..., Any], found)


def _failed(name: str, error: Exception) -> InputError:
    if isinstance(error, SyntaxError):
        file, number = error.filename or "", error.lineno
    else:
        line = traceback.extract_tb(error.__traceback__)[-1]
        file, number = line.filename, line.lineno
    place = f"{Path(file).name}, line {number}"
    message = f"the network {name} cannot be built: {type(error).__name__} in {place}: {error}"
    return InputError("NETWORK_FAILED", message, HINT)


def _annotated(name: str, function: Callable[..., Any]) -> type[Any] | None:
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        return None
    kind = typing.get_type_hints(function).get(parameters[0].name)
    if len(parameters) > 1 or not dataclasses.is_dataclass(kind):
        message = f"the network {name} must have one parameter, annotated with a dataclass of settings, or none"
        raise InputError("NETWORK_REFUSED", message, HINT)
    return typing.cast(type[Any], kind)
