"""Locates a cohort's table and the DICOM of its rows, and computes the cohort's fingerprint. Nothing is written.

Messages never quote names of files or folders, which are often names of patients.
"""

import dataclasses
import hashlib
import os
import re
import unicodedata
from collections.abc import Hashable
from pathlib import Path

from components.common.csv_table import read_csv_table
from components.common.defaults import COHORT_TABLE
from components.common.errors import InputError
from components.common.files import digest_of
from components.common.store.base import Source
from components.common.store.bucket import BucketStore, bucket_and_prefix
from components.common.store.errors import disk_errors
from components.common.store.folder import FolderStore
from components.common.store.names import clean_name, with_slashes
from components.common.store.opening import open_source
from components.common.store.zip import ZipSource

#: Endings of tables, for storage where a name does not show whether it is a file.
TABLE_ENDINGS = (".csv", ".tsv", ".tab", ".txt")
#: Endings of spreadsheet workbooks. They are accepted here, so that reading them fails with an explanation.
WORKBOOK_ENDINGS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers")
#: Columns that every table has, from which its separator is recognised.
KEY_COLUMNS = ("tumour_id", "patient_id", "dicom")


def open_cohort(cohort_uri: str) -> tuple[Source, str]:
    """The source of a cohort and the name of its table in it.

    Parameters
    ----------
    cohort_uri
        The file of the table (path or ``s3://...``), or a folder, zip or prefix that holds ``cohort.csv``.

    Raises
    ------
    InputError
        ``COHORT_MISSING``, with the kinds of files that are there instead.
    """
    root, name = cohort_uri.rstrip("/"), COHORT_TABLE
    if _is_table(root):
        root, _, name = root.rpartition("/")
        root = root or ("/" if cohort_uri.startswith("/") else ".")
    try:
        source = open_source(root)
    except InputError as error:
        raise (_no_table() if error.code == "SOURCE_MISSING" else error) from None
    if not _is_there(source, name):
        raise _no_table(_instead(root, source) if name == COHORT_TABLE else "")
    return source, name


def _is_there(source: Source, name: str) -> bool:
    """Whether a source has an object, without listing the source."""
    try:
        source.read_head(name, 1)
    except InputError:
        return False
    return True


def _no_table(instead: str = "") -> InputError:
    hint = f"Give the table's .csv file, or the folder or s3:// prefix that holds {COHORT_TABLE}."
    return InputError("COHORT_MISSING", f"there is no cohort table at the given location{instead}", hint)


def _is_table(root: str) -> bool:
    """Whether a location is the file of a table; a local file may have any name, but a zip counts as a folder."""
    path = Path(root.removeprefix("file://"))
    if path.is_dir():
        return False
    return root.lower().endswith(TABLE_ENDINGS + WORKBOOK_ENDINGS) or (path.is_file() and path.suffix.lower() != ".zip")


def _instead(root: str, source: Source) -> str:
    """The files at a location without ``cohort.csv`` that may be the table, by kind; names may be patients' names."""
    names = [unicodedata.normalize("NFKC", name).strip().lower() for name in _names(root, source)]
    here = [name for name in names if "/" not in name]
    kinds = {
        f"called {COHORT_TABLE} except for upper and lower case, or blanks": here.count(COHORT_TABLE),
        "of a spreadsheet program (save it as CSV UTF-8)": sum(name.endswith(WORKBOOK_ENDINGS) for name in here),
        "that may be a table under another name": sum(n.endswith(TABLE_ENDINGS) for n in here if n != COHORT_TABLE),
        f"called {COHORT_TABLE} in a folder below": sum(name.endswith(f"/{COHORT_TABLE}") for name in names),
    }
    found = [f"{count} {'file' if count == 1 else 'files'} {kind}" for kind, count in kinds.items() if count]
    return f"; found there: {', '.join(found)}" if found else ""


def _names(root: str, source: Source) -> list[str]:
    """Names in a local folder without its subfolders, since it may be a whole disk; all names in other sources."""
    folder = Path(root.removeprefix("file://"))
    if not folder.is_dir():
        return [entry.name for entry in source.list("")]
    with disk_errors():
        return [item.name for item in folder.iterdir()]


@dataclasses.dataclass(frozen=True, slots=True)
class Location:
    """Location of a row's DICOM: below ``prefix``, or in the zip of that name. All names of a folder share ``key``."""

    source: Source
    prefix: str
    key: Hashable

    def open(self) -> tuple[Source, str]:
        """The source and prefix of the DICOM objects; raises the error of a damaged zip."""
        if self.prefix.lower().endswith(".zip") and _is_there(self.source, self.prefix):
            return ZipSource(self.source.path_or_content(self.prefix)), ""
        return self.source, self.prefix


def locate(source: Source, dicom: str) -> Location:
    """The location in a row's ``dicom``: below the table's source, or an absolute path or URI.

    A backslash counts as a slash. Case and Unicode form may differ from those on disk.

    Raises
    ------
    InputError
        ``SOURCE_UNKNOWN`` or ``PATH_OUTSIDE``.
    """
    name = with_slashes(dicom.removeprefix("file://"))
    if name.startswith("s3://"):
        bucket, name = bucket_and_prefix(name)
        source = BucketStore(bucket)
    elif "://" in name or re.match("//|[A-Za-z]:", name):
        hint = "Name a folder beside the table, an absolute path, or an s3:// prefix."
        raise InputError("SOURCE_UNKNOWN", "a Windows drive, a server or a web address cannot be read", hint)
    elif name.startswith("/"):
        source, name = FolderStore("/"), os.path.normpath(name).strip("/")
    prefix = source.resolve(clean_name(name))
    return Location(source, prefix, source.identity(prefix))


def table_digest(data: bytes) -> str:
    """Digest of a cohort table's bytes: the first part of its fingerprint."""
    return hashlib.sha256(data).hexdigest()[:16]


def fingerprint(cohort_uri: str) -> str:
    """Digest of the table's bytes, a dash, and a digest of names, sizes and stamps of all objects it refers to."""
    source, name = open_cohort(cohort_uri)
    data = source.read(name)
    objects = {}
    for dicom in sorted(_column(data, "dicom") - {""}):
        try:
            folder, prefix = locate(source, dicom).open()
            objects[dicom] = [dataclasses.astuple(entry) for entry in folder.list(prefix)]
        except InputError as error:
            objects[dicom] = [(error.code, 0, "")]
    return f"{table_digest(data)}-{digest_of(objects)}"


def _column(data: bytes, name: str) -> set[str]:
    """The values of one column of a table; an empty set where there is no such column."""
    table = read_csv_table(data, KEY_COLUMNS)
    indices = [index for index, column in enumerate(table.header) if column == name]
    return {record[index] for record in table.rows.values() for index in indices if index < len(record)}
