"""``srs doctor --cluster``, the services' part: KFP, MLflow and the object store, as the pods will meet them."""

import functools
import json
import os
import re
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from components.common.errors import InputError
from components.common.pages import is_page
from components.common.store.opening import open_source
from pipelines.cluster.connection import KFP_CHECKED, Address
from pipelines.cluster.server import Server
from pipelines.doctor.findings import Finding, Mend, finding

#: Version whose behaviour this platform was checked against.
MLFLOW_CHECKED = "3.17"
#: What to do about a status of MLflow's address.
ABOUT = {
    401: "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    403: "you may not look at it, or the server does not know this host (--allowed-hosts)",
    404: "check the path of --mlflow",
    502: "is MLflow up behind that address?",
    503: "is MLflow up behind that address?",
    504: "is MLflow up behind that address?",
}
#: Of one answer.
SECONDS = 5


def examine_services(address: Address, mlflow: str, in_cluster_mlflow: str, buckets: list[str]) -> list[Finding]:
    """Looks at each service.

    Parameters
    ----------
    address
        Of KFP; an empty host leaves it out.
    mlflow
        MLflow's address as reached from here; "" leaves it out.
    in_cluster_mlflow
        Its address as the pods call it: what it must accept as host.
    buckets
        Names of buckets that the pods read or write.
    """
    return [
        finding("KFP", lambda: _kfp(address)),
        finding("MLflow", lambda: _mlflow(mlflow)),
        finding("MLflow hosts", lambda: _hosts(mlflow, in_cluster_mlflow)),
        finding("MLflow artifacts", lambda: _artifacts(mlflow)),
        *(finding(f"bucket {bucket}".strip(), functools.partial(_bucket, bucket)) for bucket in buckets or [""]),
    ]


def _kfp(address: Address) -> str:
    if not address.host:
        raise Mend("not looked at: give --host")
    server = Server.open(address)
    server.try_listing()
    version = _kfp_version(address)
    if version and not version.startswith(f"{KFP_CHECKED}."):
        raise Mend(f"version {version}: this platform was checked with {KFP_CHECKED}")
    users = f"many users, you in namespace {server.namespace}" if server.namespace else "one user"
    return f"version {version or 'untold'}, {users}"


def _kfp_version(address: Address) -> str:
    """The API server's tag, which only its older health page tells; "" where it does not."""
    request = urllib.request.Request(f"{address.host.rstrip('/')}/apis/v1beta1/healthz")  # noqa: S310
    if address.token:
        request.add_header("Authorization", f"Bearer {address.token}")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:  # noqa: S310
            facts = json.load(reply)
        return str(facts.get("apiServerTagName") or facts.get("tag_name") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def _mlflow(url: str) -> str:
    version = _ask(url, "/version").decode(errors="replace").strip()
    if not re.fullmatch(r"\d+(\.\w+)+", version):
        raise Mend("another server answers: check --mlflow")
    if not version.startswith(f"{MLFLOW_CHECKED}."):
        raise Mend(f"version {version[:20]}: this platform was checked with {MLFLOW_CHECKED}")
    return f"version {version}"


def _hosts(url: str, in_cluster: str) -> str:
    """A server refuses hosts that it does not know with 403, while ``/health`` stays 200."""
    host = urlsplit(in_cluster).netloc
    if not host:
        raise Mend("not looked at: the ConfigMap names no MLFLOW_TRACKING_URI")
    bare = host.partition(":")[0]
    try:
        _experiment(url, host)
    except Refused as refused:
        if refused.status == 403:
            hosts = f"{bare},{bare}:*,localhost,localhost:*"
            raise Mend(f"pods get 403 as {host}: start the server with --allowed-hosts {hosts}") from None
        raise
    return f"accepts {host}"


def _artifacts(url: str) -> str:
    """KServe cannot load what a server proxies."""
    location = str(_experiment(url, "")["artifact_location"])
    if not location.startswith(("s3://", "gs://")):
        scheme = location.partition(":")[0]
        raise Mend(f"{scheme}: addresses, which KServe cannot load: --no-serve-artifacts and an s3:// artifact root")
    return location


def _bucket(bucket: str) -> str:
    if not bucket:
        raise Mend("none looked at: give --bucket, and S3_ENDPOINT and the keys in the environment")
    try:
        open_source(f"s3://{bucket}/.srs-doctor").list("")
    except InputError as error:
        if error.code == "OBJECT_MISSING":
            raise Mend("there is no such bucket: make it, or name another") from None
        raise
    return "can be listed"


class Refused(Mend):
    """A server answered with an error's status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the server answered {status}" + (f": {ABOUT[status]}" if status in ABOUT else ""))
        self.status = status


def _experiment(url: str, host: str) -> Any:
    """The default experiment, asked for under another host's name."""
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    try:
        return json.loads(_ask(url, path, host))["experiment"]
    except (ValueError, KeyError, TypeError):
        raise Mend("another server answers: check --mlflow") from None


def _headers(host: str) -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    return ({"Host": host} if host else {}) | ({"Authorization": f"Bearer {token}"} if token else {})


def _ask(url: str, path: str, host: str = "") -> bytes:
    if not url.startswith(("http://", "https://")):
        raise Mend("not looked at: give --mlflow http://...")
    request = urllib.request.Request(url.rstrip("/") + path, headers=_headers(host))  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:  # noqa: S310
            found = bytes(reply.read())
    except urllib.error.HTTPError as error:
        raise Refused(error.code) from None
    except OSError as error:
        raise Mend(f"no server answers at {url} ({type(error).__name__})") from None
    if is_page(found):
        raise Mend("a login page answers: set MLFLOW_TRACKING_TOKEN, or name MLflow's own address (a port-forward)")
    return found
