"""Reads JSON files of artifacts into the dataclasses that they were written from."""

from pathlib import Path
from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from components.common.artifacts.layout import RUN_AGAIN
from components.common.errors import InputError

T = TypeVar("T")

#: For ``pydantic.with_config`` on a file's outermost dataclass; it also applies to all dataclasses within. No key may
#: be missing or unknown, no value of another type. The validator is built when the first file is read.
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


def read_as(reader: TypeAdapter[T], path: Path, artifact: str) -> T:
    """The value of a dataclass that a JSON file holds.

    Parameters
    ----------
    reader
        Adapter of a dataclass under ``with_config(STRICT)``.
    path
        The file.
    artifact
        Kind of its folder, for the message: ``evaluation``, ``members``.

    Raises
    ------
    InputError
        ``ARTIFACT_DAMAGED``, which names every wrong key, but quotes no value.
    """
    try:
        return reader.validate_json(path.read_bytes())
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        problems = [f"{'.'.join(map(str, detail['loc'])) or path.name}: {detail['msg']}" for detail in details]
        heading = f"{artifact}: {path.name} does not have the expected contents:"
        raise InputError.collected("ARTIFACT_DAMAGED", heading, problems, RUN_AGAIN) from None


def read_or_none(reader: TypeAdapter[T], path: Path, artifact: str) -> T | None:
    """As ``read_as``, but None where there is no file or it is damaged, for what can be computed again."""
    try:
        return read_as(reader, path, artifact) if path.is_file() else None
    except InputError:
        return None
