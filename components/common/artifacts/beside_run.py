"""JSON files in the folder of a finished local run: results of later commands, and parts that can be resumed."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import TypeAdapter

from components.common.artifacts.typed_json import read_as, read_or_none
from components.common.files import write_json


class _Written:
    """A dataclass under ``with_config(STRICT)``; ``kind`` is what messages call it."""

    __slots__ = ()
    kind: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the file."""
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]


class RunResult(_Written):
    """A result of a whole run, in a file of a fixed name."""

    __slots__ = ()
    file: ClassVar[str]

    def write(self, folder: Path) -> Path:
        """Writes the file into the folder of a run, whole or not at all; returns its path."""
        write_json(folder / self.file, self.to_dict())
        return folder / self.file

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The result of the run in ``folder``, None where there is none; raises as ``read_as``."""
        path = folder / cls.file
        return read_as(TypeAdapter(cls), path, cls.kind) if path.is_file() else None


class Resumable(_Written):
    """A part of a long computation, so that what is finished is not repeated."""

    __slots__ = ()

    def write(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        write_json(path, self.to_dict())

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The part in a file; None where there is none or it is damaged, since it can be repeated."""
        return read_or_none(TypeAdapter(cls), path, cls.kind)
