"""A home: the folder that everything a run writes lies under, for its user alone."""

import contextlib
import dataclasses
import os
import stat
from pathlib import Path

from components.common.disk import disk_error
from components.common.errors import InputError
from components.common.sqlite_store import DATABASE, require_usable
from pipelines.local.claims import Claim

#: Where our packages lie: a process that is started finds them there, whatever folder it is started in.
SOURCES = Path(__file__).parents[2]
#: Crops, database and logs are for the user who made them.
UMASK = 0o077
#: What homes of former releases hold that others of the machine could read.
PRIVATE = ("mlflow", "members", "pipeline", "cache", "served", "tmp", "srs-response-*", "phantom-*")
#: Written to see whether the disk has room at all.
PROBE = bytes(4096)


@dataclasses.dataclass(frozen=True, slots=True)
class Home:
    """The folder that everything a run writes lies under; ``claim`` holds this process's temporary files."""

    path: Path
    claim: Claim

    @property
    def mlflow_uri(self) -> str:
        """Tracking URI: the caller's ``MLFLOW_TRACKING_URI``, else SQLite under this folder."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.path / DATABASE}"

    @property
    def environment(self) -> dict[str, str]:
        """What libraries must find in their environment, before they are imported, to write nowhere else."""
        return {
            "MLFLOW_TRACKING_URI": self.mlflow_uri,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "ORT_DISABLE_TELEMETRY": "1",
            "MPLCONFIGDIR": str(self.path / "cache" / "matplotlib"),
            "KERAS_HOME": str(self.path / "cache" / "keras"),
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "TMPDIR": str(self.claim.folder),
        }

    @property
    def members(self) -> Path:
        """The member store of local runs."""
        return self.path / "members"

    @classmethod
    def open(cls, path: Path) -> "Home":
        """Makes the folder, or says why it cannot be used; from now on this process writes files for its user alone.

        Raises
        ------
        InputError
            ``OUTPUT_UNWRITABLE``, or ``HOME_MOVED`` for a copy or a moved home before anything is written.
        StorageError
            ``STORAGE_FULL`` or ``STORAGE_READONLY``.
        RegistryError
            Of its own database, as ``require_usable``.
        """
        folder = path.resolve()
        require_usable(folder / DATABASE)
        os.umask(UMASK)
        try:
            for name in ("mlflow", "tmp"):
                (folder / name).mkdir(parents=True, exist_ok=True)
            _shut_out_others(folder)
            _probe(folder / f".write-{os.getpid()}")
            return cls(folder, Claim.take(folder))
        except OSError as error:
            raise disk_error(error) or InputError(
                "OUTPUT_UNWRITABLE", f"the folder {path} cannot be written: {error.strerror}", "Name another by --home."
            ) from None


def _probe(file: Path) -> None:
    try:
        file.write_bytes(PROBE)
    finally:
        file.unlink(missing_ok=True)


def _shut_out_others(folder: Path) -> None:
    """Takes others' rights from what a former release made; the folder itself is the user's, who may have named any."""
    for path in (found for pattern in PRIVATE for found in folder.glob(pattern)):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir() and mode & UMASK:
            with contextlib.suppress(PermissionError):  # another user's
                path.chmod(mode & ~UMASK)
