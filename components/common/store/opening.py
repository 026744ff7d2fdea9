"""The store that a URI names."""

from pathlib import Path

from components.common.errors import InputError
from components.common.store.base import Source
from components.common.store.bucket import BucketStore, bucket_and_prefix
from components.common.store.folder import FolderStore
from components.common.store.zip import ZipSource

_NAME_ONE = "Name a folder, a .zip file or s3://bucket/prefix; a relative path begins in the current directory."


def open_source(uri: str) -> Source:
    """The source at a folder, a ``.zip`` file, or ``s3://bucket/prefix``.

    Raises
    ------
    InputError
        ``SOURCE_MISSING`` or ``SOURCE_UNKNOWN``.
    """
    if uri.startswith("s3://"):
        return BucketStore(*bucket_and_prefix(uri))
    path = Path(uri.removeprefix("file://"))
    if "://" in uri and not uri.startswith("file://"):
        raise InputError("SOURCE_UNKNOWN", "only folders, .zip files and s3:// locations can be read", _NAME_ONE)
    if path.is_dir():
        return FolderStore(path)
    if path.is_file():
        if path.suffix.lower() == ".zip":
            return ZipSource(path)
        raise InputError("SOURCE_UNKNOWN", "this is a file, but not a .zip", "Give the folder that contains it.")
    raise InputError("SOURCE_MISSING", "there is no such folder or .zip file", _NAME_ONE)
