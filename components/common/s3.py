"""S3 by the ``minio`` client: a bucket's objects as a source, and what any writer to a bucket needs.

Messages never hold a name of an object, since folders are often called by patients.
"""

import asyncio
import functools
import logging
import os
import ssl
import time
import unicodedata
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import certifi
import minio
import urllib3
import yarl

from components.common.errors import InputError, StorageError
from components.common.names import clean_name
from components.common.objects import FILES_AT_ONCE, Entry, Made, Source

#: Seconds to reach an S3 server, and to wait for its next bytes.
S3_CONNECT_SECONDS, S3_READ_SECONDS = 5.0, 20.0
#: Tries of an object whose connection breaks amid its bytes, and the first pause between two, s.
S3_TRIES, S3_PAUSE_SECONDS = 4, 0.2
#: Requests for heads under way at once.
S3_REQUESTS = 16
#: How long the address of an object is valid, which gives it without keys and stands in servers' logs.
S3_URL_VALID = timedelta(minutes=10)


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


class S3Source(Source):
    """Objects below a prefix of a bucket.

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
        with _storage_errors():
            found = self._client.list_objects(self._bucket, prefix=self._root + name)
            return any(o.object_name.rstrip("/") == self._root + name for o in found)

    def list(self, prefix: str) -> list[Entry]:
        """All objects below ``prefix``."""
        below = self._root + f"{clean_name(prefix)}/".lstrip("/")
        with _storage_errors():
            objects = self._client.list_objects(self._bucket, prefix=below, recursive=True)
            names = [(o.object_name.removeprefix(self._root), o) for o in objects if not o.is_dir]
            return sorted(Entry(name, int(o.size), str(o.etag)) for name, o in names)

    def read(self, name: str) -> bytes:
        """The whole object."""
        return self._get(name)

    def read_head(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes, by a ranged request."""
        return self._get(name, length=size)

    def map_heads(self, make: Callable[[bytes], Made], names: Sequence[str], size: int) -> Sequence[Made]:
        """What ``make`` makes of the first ``size`` bytes of each, many requests under way while it works."""
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            # in a thread of its own, since the caller's may have a running loop, as a notebook's has
            made = pool.submit(lambda: asyncio.run(self._heads(make, names, size))).result()
            # whatever a server did not give at once: the minio client knows retries, and what an error says
            left = [name for name in names if name not in made]
            made |= zip(left, pool.map(lambda name: make(self.read_head(name, size)), left), strict=True)
        return [made[name] for name in names]

    async def _heads(self, make: Callable[[bytes], Made], names: Sequence[str], size: int) -> dict[str, Made]:
        """What was made of those objects that the server gives at the first request."""
        made: dict[str, Made] = {}
        waiting = iter(names)
        asked = {"Range": f"bytes=0-{size - 1}", "Accept-Encoding": "identity"}

        async def ask() -> None:
            for name in waiting:
                with _storage_errors():
                    place = self._bucket, self._root + clean_name(name)
                    url = self._client.presigned_get_object(*place, expires=S3_URL_VALID)
                try:
                    trusted = _trusted() if url.startswith("https:") else True
                    async with session.get(yarl.URL(url, encoded=True), headers=asked, ssl=trusted) as answer:
                        head = await answer.read() if answer.status == HTTPStatus.PARTIAL_CONTENT else None
                except (aiohttp.ClientError, TimeoutError, OSError):
                    return  # this one asks no more: of a server that is gone, each loses one request's time
                if head is not None:
                    made[name] = make(head)

        timeout = aiohttp.ClientTimeout(sock_connect=S3_CONNECT_SECONDS, sock_read=S3_READ_SECONDS)
        connector = aiohttp.TCPConnector(limit=S3_REQUESTS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(*(ask() for _ in range(S3_REQUESTS)))
        return made

    def _get(self, name: str, **span: int) -> bytes:
        with _storage_errors():
            return read_object(self._client, self._bucket, self._root + clean_name(name), **span)


def read_object(client: Any, bucket: str, name: str, **span: int) -> bytes:
    """An object, or a span of it, whole: asked for again where the connection breaks amid its bytes."""
    for attempt in range(S3_TRIES):
        answer = client.get_object(bucket, name, **span)
        try:
            return bytes(answer.read())
        except (urllib3.exceptions.ProtocolError, urllib3.exceptions.ReadTimeoutError):
            if attempt == S3_TRIES - 1:
                raise
        finally:
            answer.close()
            answer.release_conn()
        time.sleep(S3_PAUSE_SECONDS * 2**attempt)
    raise AssertionError("not reached")


def s3_client() -> Any:
    """A ``minio.Minio`` from the environment; ``S3_SETTINGS`` where something is not set."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    endpoint = os.environ.get("S3_ENDPOINT") or os.environ.get("AWS_ENDPOINT_URL", "")
    missing = [name for name in names if not os.environ.get(name)] + ([] if endpoint else ["S3_ENDPOINT"])
    if missing:
        raise InputError("S3_SETTINGS", f"S3 needs the environment variables {', '.join(missing)}")
    parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=S3_CONNECT_SECONDS, read=S3_READ_SECONDS),
        maxsize=16,
        cert_reqs="CERT_REQUIRED",
        ca_certs=_certificates(),
        retries=urllib3.Retry(total=3, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
    )
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
            http_client=pool,
        )
    except ValueError:
        hint = "Give http:// or https://, host and port."
        raise InputError("S3_SETTINGS", "S3_ENDPOINT or AWS_REGION is not what S3 takes", hint) from None


def _certificates() -> str:
    return os.environ.get("SSL_CERT_FILE") or certifi.where()


@functools.cache
def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=_certificates())


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
    with _storage_errors():
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)
        files = [path for path in folder.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: (path.parent == folder, path)):
            client.fput_object(bucket, prefix + path.relative_to(folder).as_posix(), str(path))


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Words for what an S3 server answers; its own texts hold names of objects."""
    try:
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
    except OSError as error:
        raise StorageError("STORAGE_UNREADABLE", f"a file could not be read ({error.strerror})") from None
