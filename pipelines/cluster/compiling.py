"""Compiles the pipelines for a KFP cluster."""

import warnings
from pathlib import Path

import yaml
from kfp import compiler

from components.common.defaults import PIPELINE
from components.common.errors import InputError
from components.common.files import digest_of_file
from pipelines.definitions import phantom, srs_response, validate
from pipelines.definitions.options import Compiled

_OTHER = "Name another file by -o."
#: The function that builds each pipeline for given compile options, by the pipeline's name.
PIPELINES = {PIPELINE: srs_response.build, phantom.NAME: phantom.build, validate.NAME: validate.build}


def compile_pipeline(name: str, output: Path, options: Compiled | None = None) -> str:
    """Compiles a pipeline to YAML, the same bytes for the same code and options, and returns the file's SHA-256.

    Raises
    ------
    InputError
        ``PIPELINE_UNKNOWN`` or ``OUTPUT_UNWRITABLE``.
    """
    if name not in PIPELINES:
        raise InputError("PIPELINE_UNKNOWN", f"there is no pipeline {name}", f"Pipelines: {', '.join(PIPELINES)}.")
    if output.suffix not in (".yaml", ".yml") or not output.parent.is_dir():
        raise InputError("OUTPUT_UNWRITABLE", f"{output} must end in .yaml and its folder must exist", _OTHER)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            compiler.Compiler().compile(PIPELINES[name](options), str(output))
    except OSError as error:
        raise InputError("OUTPUT_UNWRITABLE", f"{output} cannot be written: {error.strerror}", _OTHER) from None
    return digest_of_file(output)


def digest_of_package(package: Path) -> str:
    """SHA-256 of a compiled pipeline's file.

    Raises
    ------
    InputError
        ``PACKAGE_INVALID`` if the file is not a compiled pipeline.
    """
    hint = "`srs compile -o FILE` writes one."
    try:
        first = next(yaml.safe_load_all(package.read_text()), None)
    except OSError as error:
        raise InputError("PACKAGE_INVALID", f"{package} cannot be read: {error.strerror}", hint) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        first = None
    if not isinstance(first, dict) or not {"pipelineInfo", "root"} <= set(first):
        raise InputError("PACKAGE_INVALID", f"{package} is not a compiled pipeline", hint)
    return digest_of_file(package)
