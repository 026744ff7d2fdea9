"""Finds and calls the function that builds a study's network: a built-in one, or a user's own."""

import contextlib
import dataclasses
import importlib
import inspect
import sys
import traceback
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from components.common.artifacts.splits import Splits
from components.common.errors import InputError, SrsError, one_line
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
    with _reported(name):
        kind = NETWORKS.get(name) or _annotated(name, function)
        given = settings_of(name, kind, study.network)
        keras.utils.clear_session(free_memory=False)  # automatic names must not depend on what was built before
        model = _model(function, given)
        network = describe(name, dataclasses.asdict(given) if given is not None else {}, model)
        keras.utils.clear_session(free_memory=False)  # forgets that the model's weights are still to be drawn
    return network


def _model(function: Callable[..., Any], given: Any) -> Any:
    arguments = [] if given is None else [given]
    try:
        with keras.StatelessScope(initialize_variables=False):  # drawing weights would compile a program for each shape
            return function(*arguments)
    except Exception:  # what creates variables beside its weights, such as compile(), works only outside of the scope
        keras.utils.clear_session(free_memory=False)
        return function(*arguments)


@contextlib.contextmanager
def _reported(name: str) -> Iterator[None]:
    """Reports whatever a user's code raises in this block, and what Keras raises for it, as ``NETWORK_FAILED``."""
    try:
        yield
    except SrsError:
        raise
    except (Exception, SystemExit) as error:
        raise _failed(name, error) from error


def network_of(splits: Splits) -> Network:
    """The network of a run; that of a run of release 0.1, which did not describe it, is built from its settings."""
    return Network.from_dict(splits.network) if splits.network else build_network(splits.settings)


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":") if ":" in name else (f"{__package__}.{name}", "", name)
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    place = "Its module must lie in the current folder, on PYTHONPATH, or in the image that runs the pipeline."
    with _reported(name):
        try:
            imported = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise  # the module is there, but imports another one that is not
            message = f"the network {name} is not found: {error}"
            raise InputError("NETWORK_UNKNOWN", message, f"{place} {HINT}") from error
    found = getattr(imported, function, None)
    if not callable(found):
        file = getattr(imported, "__file__", None) or "built into Python"
        message = f"the network {name}: the module {module} ({file}) has no function {function}"
        raise InputError("NETWORK_UNKNOWN", message, f"Another module may have the same name. {HINT}")
    return typing.cast(Callable[..., Any], found)


def _failed(name: str, error: BaseException) -> InputError:
    """The error for an exception, with the last line of the network's own module that led to it."""
    module = sys.modules.get(name.partition(":")[0])
    own = getattr(module, "__file__", None)
    lines = traceback.extract_tb(error.__traceback__)
    frames = [(line.filename, line.lineno) for line in lines if line.filename == own] or [
        (line.filename, line.lineno) for line in lines[-1:]
    ]
    if isinstance(error, SyntaxError):
        frames = [(error.filename or "", error.lineno)]
    file, number = frames[-1]
    place = f"{Path(file).name}, line {number}"
    message = f"the network {name} cannot be built: {type(error).__name__} in {place}: {one_line(error)}"
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
