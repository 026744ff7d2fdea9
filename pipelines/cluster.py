"""The pipelines for a KFP cluster."""

import hashlib
import warnings
from pathlib import Path

from kfp import compiler

from components.common.errors import InputError
from pipelines import phantom, srs_response


def compile_pipeline(
    name: str, output: Path, *, parallelism: int = 0, retries: int = 0, timeout_seconds: int = 0
) -> str:
    """Compiles a pipeline to YAML, the same bytes for the same code, and returns the file's SHA-256.

    Raises
    ------
    InputError
        ``PIPELINE_UNKNOWN`` or ``OUTPUT_UNWRITABLE``.
    """
    if name == srs_response.NAME:
        pipeline = srs_response.build(parallelism, retries, timeout_seconds)
    elif name == phantom.NAME:
        pipeline = phantom.phantom
    else:
        known = f"Pipelines: {srs_response.NAME}, {phantom.NAME}."
        raise InputError("PIPELINE_UNKNOWN", f"there is no pipeline {name}", known)
    if output.suffix not in (".yaml", ".yml") or not output.parent.is_dir():
        raise InputError("OUTPUT_UNWRITABLE", f"{output} must end in .yaml and its folder must exist")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            compiler.Compiler().compile(pipeline, str(output))
    except OSError as error:
        raise InputError("OUTPUT_UNWRITABLE", f"{output} cannot be written: {error.strerror}") from None
    return hashlib.sha256(output.read_bytes()).hexdigest()
