"""JSON files of artifacts, read as the dataclasses that they were written from."""

from pathlib import Path
from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from components.common.artifacts.layout import RUN_AGAIN
from components.common.errors import InputError

T = TypeVar("T")

#: For ``pydantic.with_config`` on a file's outermost dataclass; it holds for all dataclasses within. No key may be
#: missing or unknown, no value of another type. The reader is built when the first file is read.
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


def read_as(reader: TypeAdapter[T], path: Path, artifact: str) -> T:
    """The dataclass that a JSON file holds.

    Parameters
    ----------
    reader
        Of a dataclass under ``with_config(STRICT)``.
    path
        The file.
    artifact
        What its folder is, for the message: ``evaluation``, ``members``.

    Raises
    ------
    InputError
        ``ARTIFACT_DAMAGED``, which names every key that is wrong and no value.
    """
    try:
        return reader.validate_json(path.read_bytes())
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        problems = [f"{'.'.join(map(str, one['loc'])) or path.name}: {one['msg']}" for one in found]
        heading = f"{artifact}: {path.name} does not hold what was expected:"
        raise InputError.collected("ARTIFACT_DAMAGED", heading, problems, RUN_AGAIN) from None
