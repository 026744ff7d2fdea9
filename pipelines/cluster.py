"""The pipelines for a KFP cluster."""

import hashlib
import warnings
from pathlib import Path

from kfp import compiler

from components.common.errors import InputError
from pipelines import phantom, srs_response
from pipelines.pods import Compiled

#: The pipelines by name; each builds itself for the options that KFP fixes when it compiles.
PIPELINES = {srs_response.NAME: srs_response.build, phantom.NAME: phantom.build}


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
        raise InputError("OUTPUT_UNWRITABLE", f"{output} must end in .yaml and its folder must exist")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            compiler.Compiler().compile(PIPELINES[name](options), str(output))
    except OSError as error:
        raise InputError("OUTPUT_UNWRITABLE", f"{output} cannot be written: {error.strerror}") from None
    return hashlib.sha256(output.read_bytes()).hexdigest()
