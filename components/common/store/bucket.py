"""A bucket of an S3 server as a store, with the ``minio`` client, and the upload of a whole folder.

Messages never name an object, since folders are often named after patients.
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

from components.common.addresses import BUCKET_RULE, problem_of_address
from components.common.environment import S3_ENDPOINT, S3_KEYS
from components.common.errors import InputError, StorageError
from components.common.store import timeouts
from components.common.store.base import Entry, Made, Store, map_concurrently
from components.common.store.errors import disk_errors
from components.common.store.names import clean_name

#: Concurrent requests for heads of objects.
REQUESTS_AT_ONCE = 16
#: Size of the connection pool: several patients are read at the same time, each with as many requests.
POOL_CONNECTIONS = 4 * REQUESTS_AT_ONCE


def bucket_and_prefix(uri: str) -> tuple[str, str]:
    """Both parts of ``s3://bucket/prefix``, which is no URL: names of objects may hold ``#``, ``?`` and ``%``."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bucket, prefix.strip("/")


def _is_an_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


# These loggers' warnings about retried requests hold names of objects. Filters, since the Kubernetes client resets the
# loggers' levels.
for logger in ("urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(logger).addFilter(_is_an_error)


class BucketStore(Store):
    """Objects below a prefix of a bucket; S3 itself writes objects atomically.

    Parameters
    ----------
    bucket, prefix
        Location; names are relative to the prefix.
    client
        A ``minio.Minio``; by default one made from S3_ENDPOINT or AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID,
        AWS_SECRET_ACCESS_KEY and, where set, AWS_SESSION_TOKEN and AWS_REGION.
    """

    def __init__(self, bucket: str, prefix: str = "", client: Any = None) -> None:
        self._bucket = bucket
        self._root = f"{clean_name(prefix)}/".lstrip("/")
        self._client = client or s3_client()

    def resolve(self, name: str) -> str:
        """The name in the Unicode form that the bucket has, since macOS uploads another form; case is significant."""
        forms = dict.fromkeys([name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))])
        return next((form for form in forms if len(forms) > 1 and self._has(form)), name)

    def identity(self, name: str) -> Hashable:
        """The address of the prefix in its bucket."""
        return self._bucket, unicodedata.normalize("NFC", self._root + name).strip("/")

    def _has(self, name: str) -> bool:
        with bucket_errors():
            objects = self._client.list_objects(self._bucket, prefix=self._root + name)
            return any(o.object_name.rstrip("/") == self._root + name for o in objects)

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
        """The first ``size`` bytes, with a range request."""
        try:
            return self._get(name, length=size)
        except StorageError as error:
            if getattr(error.__context__, "code", "") != "InvalidRange":
                raise
            return b""  # an empty object has no valid range

    def map_heads(self, make: Callable[[bytes], Made], names: Sequence[str], size: int) -> Sequence[Made]:
        """The results of ``make`` for the first ``size`` bytes of each object, with concurrent requests."""
        return map_concurrently(lambda name: make(self.read_head(name, size)), names, REQUESTS_AT_ONCE)

    def write(self, name: str, content: bytes) -> None:
        """Writes the object atomically."""
        with bucket_errors():
            self._client.put_object(self._bucket, self._at(name), io.BytesIO(content), len(content))

    def remove(self, name: str) -> None:
        """Removes the object if it exists."""
        with bucket_errors():
            self._client.remove_object(self._bucket, self._at(name))

    def _at(self, name: str) -> str:
        return self._root + clean_name(name)

    def _get(self, name: str, **span: int) -> bytes:
        """An object or a range of it; the request is repeated where the connection breaks during the transfer."""
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
    endpoint = os.environ.get(S3_ENDPOINT) or os.environ.get("AWS_ENDPOINT_URL", "")
    missing = [name for name in S3_KEYS if not os.environ.get(name)] + ([] if endpoint else [S3_ENDPOINT])
    if missing:
        hint = "Set them to the address and the keys of the object store."
        raise InputError("S3_SETTINGS", f"S3 needs the environment variables {', '.join(missing)}", hint)
    url = endpoint if "://" in endpoint else f"https://{endpoint}"
    try:
        parts = urlsplit(url)
        if problem_of_address(url) or parts.path.strip("/"):
            raise ValueError
        return minio.Minio(
            parts.netloc,
            access_key=os.environ[S3_KEYS[0]],
            secret_key=os.environ[S3_KEYS[1]],
            session_token=os.environ.get("AWS_SESSION_TOKEN"),
            secure=parts.scheme == "https",
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
            http_client=_connections(),
        )
    except ValueError:
        hint = "Set S3_ENDPOINT to http:// or https:// with host and port, and AWS_REGION to the region's name."
        raise InputError("S3_SETTINGS", "S3_ENDPOINT or AWS_REGION is not valid for S3", hint) from None


def _connections() -> urllib3.PoolManager:
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=timeouts.CONNECT_SECONDS, read=timeouts.READ_SECONDS),
        maxsize=POOL_CONNECTIONS,
        cert_reqs="CERT_REQUIRED",
        ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
        retries=urllib3.Retry(
            total=timeouts.TRIES - 1, backoff_factor=timeouts.PAUSE_SECONDS, status_forcelist=[500, 502, 503, 504]
        ),
    )


def upload_folder(folder: Path, uri: str) -> None:
    """Uploads every file below ``folder`` to ``s3://bucket/prefix``, and creates the bucket if needed.

    Files directly in the folder go last: a cohort's table is among them, and must not precede the files that it lists.

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
    """Translates an S3 server's errors into this platform's, since the server's own texts name objects."""
    try:
        with disk_errors():
            yield
    except minio.error.S3Error as error:
        if error.code in ("NoSuchKey", "NoSuchBucket"):
            hint = "Check the names of the bucket and of the files, which are case-sensitive."
            raise InputError("OBJECT_MISSING", f"the S3 server replied {error.code}", hint) from None
        hint = "Check the access keys and their permissions."
        raise StorageError("S3_REFUSED", f"the S3 server replied {error.code}", hint) from None
    except (minio.error.MinioException, urllib3.exceptions.HTTPError) as error:
        hint = "Check S3_ENDPOINT and that the server is running, then try again."
        raise StorageError("S3_UNREACHABLE", f"the S3 server does not respond ({type(error).__name__})", hint) from None
    except ValueError:  # raised by the minio client for a name that S3 does not allow
        hint = f"Use {BUCKET_RULE}, in lower case on AWS."
        raise InputError("SOURCE_UNKNOWN", "S3 does not allow this name of a bucket or object", hint) from None
