"""A bucket of an S3 server as a store, by the ``minio`` client, and the upload of a whole folder.

Messages never hold a name of an object, since folders are often called by patients.
"""

import io
import logging
import os
import time
import unicodedata
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certifi
import minio
import urllib3

from components.common.errors import InputError, StorageError
from components.common.store import timeouts
from components.common.store.base import Entry, Made, Store, map_side_by_side
from components.common.store.errors import disk_errors
from components.common.store.names import clean_name

#: Requests for heads under way at once.
REQUESTS_AT_ONCE = 16
#: Idle connections kept: several patients are read side by side, each by as many requests.
CONNECTIONS_KEPT = 4 * REQUESTS_AT_ONCE


def bucket_and_prefix(uri: str) -> tuple[str, str]:
    """Both of ``s3://bucket/prefix``. No web address: ``#``, ``?`` and ``%`` belong to the names of objects."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bucket, prefix.strip("/")


def _is_an_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


# What these say of a request that is tried again holds the names of objects. Filters, since the Kubernetes client sets
# the loggers' level back.
for logger in ("urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(logger).addFilter(_is_an_error)


class BucketStore(Store):
    """Objects below a prefix of a bucket: S3 itself shows an object whole or not at all.

    Parameters
    ----------
    bucket, prefix
        Where; names are relative to the prefix.
    client
        A ``minio.Minio``; by default one made from S3_ENDPOINT or AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID,
        AWS_SECRET_ACCESS_KEY and, where set, AWS_SESSION_TOKEN and AWS_REGION.
    """

    def __init__(self, bucket: str, prefix: str = "", client: Any = None) -> None:
        self._bucket = bucket
        self._root = f"{clean_name(prefix)}/".lstrip("/")
        self._client = client or s3_client()

    def resolve(self, name: str) -> str:
        """The name that is meant: a bucket knows case, but what a Mac uploaded may have another Unicode form."""
        forms = dict.fromkeys([name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))])
        return next((form for form in forms if len(forms) > 1 and self._has(form)), name)

    def identity(self, name: str) -> Hashable:
        """The address of the prefix in its bucket."""
        return self._bucket, unicodedata.normalize("NFC", self._root + name).strip("/")

    def _has(self, name: str) -> bool:
        with bucket_errors():
            found = self._client.list_objects(self._bucket, prefix=self._root + name)
            return any(o.object_name.rstrip("/") == self._root + name for o in found)

    def list(self, prefix: str) -> list[Entry]:
        """All objects below ``prefix``."""
        below = self._root + f"{clean_name(prefix)}/".lstrip("/")
        with bucket_errors():
            objects = self._client.list_objects(self._bucket, prefix=below, recursive=True)
            names = [(o.object_name.removeprefix(self._root), o) for o in objects if not o.is_dir]
            return sorted(Entry(name, int(o.size), str(o.etag)) for name, o in names)

    def read(self, name: str) -> bytes:
        """The whole object."""
        return self._get(name)

    def read_head(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes, by a ranged request."""
        try:
            return self._get(name, length=size)
        except StorageError as error:
            if getattr(error.__context__, "code", "") != "InvalidRange":
                raise
            return b""  # an empty object has no first byte to ask for

    def map_heads(self, make: Callable[[bytes], Made], names: Sequence[str], size: int) -> Sequence[Made]:
        """What ``make`` makes of the first ``size`` bytes of each, many requests under way at once."""
        return map_side_by_side(lambda name: make(self.read_head(name, size)), names, REQUESTS_AT_ONCE)

    def write(self, name: str, content: bytes) -> None:
        """Puts the object in place whole."""
        with bucket_errors():
            self._client.put_object(self._bucket, self._at(name), io.BytesIO(content), len(content))

    def remove(self, name: str) -> None:
        """Removes the object where there is one."""
        with bucket_errors():
            self._client.remove_object(self._bucket, self._at(name))

    def _at(self, name: str) -> str:
        return self._root + clean_name(name)

    def _get(self, name: str, **span: int) -> bytes:
        """An object, or a span of it, whole: asked for again where the connection breaks amid its bytes."""
        with bucket_errors():
            for attempt in range(timeouts.TRIES):
                answer = self._client.get_object(self._bucket, self._at(name), **span)
                try:
                    return bytes(answer.read())
                except (urllib3.exceptions.ProtocolError, urllib3.exceptions.ReadTimeoutError):
                    if attempt == timeouts.TRIES - 1:
                        raise
                finally:
                    answer.close()
                    answer.release_conn()
                time.sleep(timeouts.PAUSE_SECONDS * 2**attempt)
        raise AssertionError("not reached")


def s3_client() -> Any:
    """A ``minio.Minio`` from the environment; ``S3_SETTINGS`` where something is not set."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    endpoint = os.environ.get("S3_ENDPOINT") or os.environ.get("AWS_ENDPOINT_URL", "")
    missing = [name for name in names if not os.environ.get(name)] + ([] if endpoint else ["S3_ENDPOINT"])
    if missing:
        raise InputError("S3_SETTINGS", f"S3 needs the environment variables {', '.join(missing)}")
    parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    try:
        if not parts.netloc or parts.path.strip("/"):
            raise ValueError
        return minio.Minio(
            parts.netloc,
            access_key=os.environ[names[0]],
            secret_key=os.environ[names[1]],
            session_token=os.environ.get("AWS_SESSION_TOKEN"),
            secure=parts.scheme == "https",
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
            http_client=_connections(),
        )
    except ValueError:
        hint = "Give http:// or https://, host and port."
        raise InputError("S3_SETTINGS", "S3_ENDPOINT or AWS_REGION is not what S3 takes", hint) from None


def _connections() -> urllib3.PoolManager:
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=timeouts.CONNECT_SECONDS, read=timeouts.READ_SECONDS),
        maxsize=CONNECTIONS_KEPT,
        cert_reqs="CERT_REQUIRED",
        ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
        retries=urllib3.Retry(
            total=timeouts.TRIES - 1, backoff_factor=timeouts.PAUSE_SECONDS, status_forcelist=[500, 502, 503, 504]
        ),
    )


def upload_folder(folder: Path, uri: str) -> None:
    """Puts every file below ``folder`` to ``s3://bucket/prefix``, by its name in the folder; makes the bucket.

    Files of the folder itself go last: a cohort's table stands there, and where the upload breaks off there is none.

    Raises
    ------
    StorageError
        ``S3_REFUSED`` or ``S3_UNREACHABLE``.
    """
    bucket, prefix = bucket_and_prefix(uri)
    prefix = f"{clean_name(prefix)}/".lstrip("/")
    client = s3_client()
    with bucket_errors():
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)
        files = [path for path in folder.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: (path.parent == folder, path)):
            client.fput_object(bucket, prefix + path.relative_to(folder).as_posix(), str(path))


@contextmanager
def bucket_errors() -> Iterator[None]:
    """What an S3 server answers as this platform's errors; its own texts hold names of objects."""
    try:
        with disk_errors():
            yield
    except minio.error.S3Error as error:
        if error.code in ("NoSuchKey", "NoSuchBucket"):
            raise InputError("OBJECT_MISSING", f"the S3 server answers {error.code}") from None
        raise StorageError("S3_REFUSED", f"the S3 server answers {error.code}", "Check keys and rights.") from None
    except (minio.error.MinioException, urllib3.exceptions.HTTPError) as error:
        hint = "Check S3_ENDPOINT and that the server runs, then run again."
        raise StorageError("S3_UNREACHABLE", f"the S3 server does not answer ({type(error).__name__})", hint) from None
    except ValueError:  # the minio client, of a name that S3 does not allow
        hint = "A bucket has 3 to 63 lower-case letters, digits, dots and dashes."
        raise InputError("SOURCE_UNKNOWN", "S3 has no such names of buckets or objects", hint) from None
