"""Where a cohort lies: a folder, a zip, a mapping in memory, or a bucket; read by name, never changed.

Messages never hold a name of an object, since folders are often called by patients.
"""

import csv
import dataclasses
import hashlib
import io
import os
import re
from collections.abc import Hashable
from pathlib import Path
from urllib.parse import urlsplit

from components.common.errors import InputError
from components.common.files import digest_of
from components.common.objects import Entry, FolderSource, Source, ZipSource, clean_name
from components.common.s3 import S3Source

TABLE_NAME = "cohort.csv"


def open_source(uri: str) -> Source:
    """The source at a folder, a ``.zip`` file, or ``s3://bucket/prefix``.

    Raises
    ------
    InputError
        ``SOURCE_MISSING`` or ``SOURCE_UNKNOWN``.
    """
    if uri.startswith("s3://"):
        parts = urlsplit(uri)
        return S3Source(parts.netloc, parts.path.strip("/"))
    path = Path(uri.removeprefix("file://"))
    if "://" in uri and not uri.startswith("file://"):
        raise InputError("SOURCE_UNKNOWN", "only folders, .zip files and s3:// can be read")
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        if path.suffix.lower() == ".zip":
            return ZipSource(path)
        raise InputError("SOURCE_UNKNOWN", "this is a file, but not a .zip", "Give the folder that holds it.")
    raise InputError("SOURCE_MISSING", "there is no such folder or .zip file")


def open_cohort(cohort_uri: str) -> tuple[Source, str]:
    """The source of a cohort and the name of its table in it.

    Parameters
    ----------
    cohort_uri
        A ``.csv`` file (path or ``s3://...``), or a folder, zip or prefix that holds ``cohort.csv``.

    Raises
    ------
    InputError
        ``COHORT_MISSING``.
    """
    root, name = cohort_uri.rstrip("/"), TABLE_NAME
    if root.lower().endswith(".csv"):
        root, _, name = root.rpartition("/")
        root = root or ("/" if cohort_uri.startswith("/") else ".")
    try:
        source = open_source(root)
        found = any(entry.name == name for entry in _beside(source, name))
    except InputError as error:
        if error.code != "SOURCE_MISSING":
            raise
        found = False
    if not found:
        hint = f"Give the table's .csv file, or the folder or s3:// prefix that holds {TABLE_NAME}."
        raise InputError("COHORT_MISSING", "there is no cohort table at the place given", hint)
    return source, name


def _beside(source: Source, name: str) -> list[Entry]:
    """The entry of one name, without walking the whole source."""
    try:
        return [Entry(name, len(source.read_head(name, 1)), "")]
    except InputError:
        return []


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a row's DICOM lies: below ``prefix``, or in the zip of that name; ``key`` is equal for all its names."""

    source: Source
    prefix: str
    key: Hashable

    def open(self) -> tuple[Source, str]:
        """The source and prefix below which the objects are; raises what is wrong with a zip."""
        if self.prefix.lower().endswith(".zip") and _has_object(self.source, self.prefix):
            return self.source.open_zip(self.prefix), ""
        return self.source, self.prefix


def locate(source: Source, dicom: str) -> Place:
    """Where a row's ``dicom`` lies: below the table's own source, or elsewhere by an absolute path or URI.

    A backslash separates as a slash does, and neither case nor Unicode form need be that of the disk.

    Raises
    ------
    InputError
        ``SOURCE_UNKNOWN`` or ``PATH_OUTSIDE``.
    """
    name = dicom.removeprefix("file://").replace("\\", "/")
    if name.startswith("s3://"):
        parts = urlsplit(name)
        source, name = S3Source(parts.netloc), parts.path.strip("/")
    elif "://" in name or re.match("//|[A-Za-z]:", name):
        hint = "Name a folder beside the table, an absolute path, or an s3:// prefix."
        raise InputError("SOURCE_UNKNOWN", "a Windows drive, a server or a web address cannot be read", hint)
    elif name.startswith("/"):
        source, name = FolderSource("/"), os.path.normpath(name).strip("/")
    prefix = source.resolve(clean_name(name))
    return Place(source, prefix, source.identity(prefix))


def _has_object(source: Source, name: str) -> bool:
    try:
        return bool(source.read_head(name, 1))
    except InputError:
        return False


def table_digest(data: bytes) -> str:
    """Digest of a cohort table's bytes: the first part of its fingerprint."""
    return hashlib.sha256(data).hexdigest()[:16]


def fingerprint(cohort_uri: str) -> str:
    """Digest of the table's bytes, a dash, and that of name, size and stamp of all objects that it names."""
    source, name = open_cohort(cohort_uri)
    data = source.read(name)
    places = sorted(_column(data, "dicom") - {""})
    objects = {}
    for place in places:
        try:
            where, prefix = locate(source, place).open()
            objects[place] = [dataclasses.astuple(entry) for entry in where.list(prefix)]
        except InputError as error:
            objects[place] = [(error.code, 0, "")]
    return f"{table_digest(data)}-{digest_of(objects)}"


def csv_records(data: bytes) -> list[list[str]]:
    """The records of CSV text in UTF-8, with commas or, as spreadsheets of many countries write, semicolons.

    Raises
    ------
    InputError
        ``COHORT_UNREADABLE``.
    """
    try:
        text = data.decode("utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = ";" if first.count(";") > first.count(",") else ","
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise InputError("COHORT_UNREADABLE", "the cohort table is not CSV text in UTF-8") from None


def _column(data: bytes, name: str) -> set[str]:
    """The values of one column of a table, empty where there is none."""
    header, *records = csv_records(data) or [[]]
    places = [index for index, cell in enumerate(header) if cell.strip().casefold() == name]
    return {record[index].strip() for record in records for index in places if index < len(record)}
