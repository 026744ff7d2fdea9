"""A home: the folder under which runs write everything, readable by its user only."""

import contextlib
import dataclasses
import os
import stat
from pathlib import Path

from components.common.disk import disk_error, require_text
from components.common.errors import InputError
from components.common.sqlite_store import DATABASE, file_of, require_usable
from pipelines.local.claims import Claim

#: Folder of this project's packages, so that a started process finds them in any working directory.
SOURCES = Path(__file__).parents[2]
#: Crops, database and logs are readable by the user who made them only.
UMASK = 0o077
#: Folders that former releases made readable by other users of the machine.
PRIVATE = ("mlflow", "members", "pipeline", "cache", "served", "tmp", "srs-response-*", "phantom-*")
#: Written to check that the disk has room at all.
PROBE = bytes(4096)


@dataclasses.dataclass(frozen=True, slots=True)
class Home:
    """The folder under which runs write everything; ``claim`` holds this process's temporary files."""

    path: Path
    claim: Claim

    @property
    def mlflow_uri(self) -> str:
        """Tracking URI: the caller's ``MLFLOW_TRACKING_URI``, else SQLite under this folder."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.path / DATABASE}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that make libraries write only here; set them before the libraries are imported."""
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
        """Creates the folder if necessary; from now on, files of this process are readable by its user only.

        Raises
        ------
        InputError
            ``OUTPUT_UNWRITABLE``; before anything is written ``PATH_INVALID``, and ``HOME_MOVED`` for a copied or moved
            home.
        StorageError
            ``STORAGE_FULL`` or ``STORAGE_READONLY``.
        RegistryError
            For the errors of ``require_usable`` about its database.
        """
        folder = path.resolve()
        require_text(str(folder))
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

    @classmethod
    def absent(cls, path: Path) -> "Home":
        """A home at a path where there is none, for a process that writes only temporary files; makes no folder there.

        They are among the system's temporary files, and are removed when the process exits.
        """
        os.umask(UMASK)
        return cls(path.resolve(), Claim.without_home())


def is_home(path: Path) -> bool:
    """Whether a home was opened at this path before."""
    return (path / DATABASE).is_file() or (path / "tmp").is_dir()


def require_registry(home: Path, uri: str) -> None:
    """Refuses a registry that cannot exist yet: in a home without a database, or in a database without a file.

    Raises
    ------
    InputError
        ``HOME_UNKNOWN`` without the ``uri`` of another registry; ``TRACKING_URI`` where that names a missing database.
    """
    if not uri and not (home / DATABASE).is_file():
        hint = "`srs run` and `make demo` make one; --home names another folder, --mlflow a server."
        raise InputError("HOME_UNKNOWN", f"{home} holds no runs and no models", hint)
    if (database := file_of(uri)) and database.is_absolute() and not database.is_file():
        message = f"the database {database} of MLFLOW_TRACKING_URI (or --mlflow) does not exist"
        raise InputError("TRACKING_URI", message, "Give the path of an existing database, or a server's address.")


def _probe(file: Path) -> None:
    try:
        file.write_bytes(PROBE)
    finally:
        file.unlink(missing_ok=True)


def _shut_out_others(folder: Path) -> None:
    """Removes other users' rights to folders of former releases; not to the home itself, which may be any folder."""
    for path in (match for pattern in PRIVATE for match in folder.glob(pattern)):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir() and mode & UMASK:
            with contextlib.suppress(PermissionError):  # it belongs to another user
                path.chmod(mode & ~UMASK)
