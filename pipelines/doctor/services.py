"""``srs doctor --cluster``: checks KFP, MLflow and the object store as the pods will use them."""

import base64
import functools
import json
import os
import re
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit

from components.common.addresses import http_address
from components.common.errors import InputError
from components.common.pages import is_page
from components.common.store.opening import open_source
from pipelines.cluster.connection import KFP_CHECKED, Address
from pipelines.cluster.server import Server
from pipelines.doctor import findings
from pipelines.doctor.findings import Finding, Problem, finding

#: Version that this platform was checked with.
MLFLOW_CHECKED = "3.17"
#: Advice for an HTTP status of MLflow's address.
ABOUT = {
    401: "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    403: "you have no access, or the server does not accept this host name (--allowed-hosts)",
    404: "check the path of --mlflow",
    502: "check that MLflow is running behind that address",
    503: "check that MLflow is running behind that address",
    504: "check that MLflow is running behind that address",
}


def examine_services(address: Address, mlflow: str, in_cluster_mlflow: str, buckets: list[str]) -> list[Finding]:
    """Checks each service.

    Parameters
    ----------
    address
        Address of KFP; if the host is empty, KFP is not checked.
    mlflow
        MLflow's address as reached from here; if empty, MLflow is not checked.
    in_cluster_mlflow
        MLflow's address as the pods use it: MLflow must accept its host name.
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
        raise Problem("not checked: give --host")
    http_address(address.host, "--host")
    server = Server.open(address)
    server.try_listing()
    version = _kfp_version(address)
    if version and not version.startswith(f"{KFP_CHECKED}."):
        raise Problem(f"version {version}: this platform was checked with {KFP_CHECKED}")
    users = f"multi-user, your namespace {server.namespace}" if server.namespace else "single-user"
    return f"version {version or 'unknown'}, {users}"


def _kfp_version(address: Address) -> str:
    """The API server's tag, which only its older health page reports; "" if it does not."""
    request = urllib.request.Request(f"{address.host.rstrip('/')}/apis/v1beta1/healthz")  # noqa: S310
    if address.token:
        request.add_header("Authorization", f"Bearer {address.token}")
    try:
        with urllib.request.urlopen(request, timeout=findings.SECONDS) as reply:  # noqa: S310
            facts = json.load(reply)
        return str(facts.get("apiServerTagName") or facts.get("tag_name") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def _mlflow(url: str) -> str:
    version = _ask(url, "/version").decode(errors="replace").strip()
    if not re.fullmatch(r"\d+(\.\w+)+", version):
        raise Problem("another server answers at that address: check --mlflow")
    if not version.startswith(f"{MLFLOW_CHECKED}."):
        raise Problem(f"version {version[:20]}: this platform was checked with {MLFLOW_CHECKED}")
    return f"version {version}"


def _hosts(url: str, in_cluster: str) -> str:
    """MLflow answers 403 to requests under a host name that it does not accept, while ``/health`` still answers 200."""
    host = urlsplit(in_cluster).netloc.rpartition("@")[2]
    if not host:
        raise Problem("not checked: the ConfigMap has no MLFLOW_TRACKING_URI")
    bare = host.partition(":")[0]
    try:
        _experiment(url, host)
    except Refused as refused:
        if refused.status == 403:
            hosts = f"{bare},{bare}:*,localhost,localhost:*"
            raise Problem(f"pods get 403 as {host}: start the server with --allowed-hosts {hosts}") from None
        raise
    return f"accepts {host}"


def _artifacts(url: str) -> str:
    """Checks that artifacts have addresses of a bucket: KServe cannot load what MLflow's server proxies."""
    location = str(_experiment(url, "")["artifact_location"])
    if not location.startswith(("s3://", "gs://")):
        scheme = location.partition(":")[0]
        raise Problem(
            f"{scheme}: addresses, which KServe cannot load: start MLflow with --no-serve-artifacts and an s3:// root"
        )
    return location


def _bucket(bucket: str) -> str:
    if not bucket:
        raise Problem("not checked: give --bucket, and set S3_ENDPOINT and the keys in the environment")
    try:
        open_source(f"s3://{bucket}/.srs-doctor").list("")
    except InputError as error:
        if error.code == "OBJECT_MISSING":
            raise Problem("there is no such bucket: create it, or name another") from None
        raise
    return "can be listed"


class Refused(Problem):
    """A server answered with the status of an error."""

    def __init__(self, status: int) -> None:
        super().__init__(
            f"the server answered with status {status}" + (f": {ABOUT[status]}" if status in ABOUT else "")
        )
        self.status = status


def _experiment(url: str, host: str) -> Any:
    """The default experiment, requested under a given host name ("": the one in the address)."""
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    try:
        return json.loads(_ask(url, path, host))["experiment"]
    except (ValueError, KeyError, TypeError):
        raise Problem("another server answers at that address: check --mlflow") from None


def _headers(host: str, user: str, password: str) -> dict[str, str]:
    """The headers that MLflow's client sends, for another host name where one is given."""
    token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    authorization = f"Basic {basic}" if user else f"Bearer {token}" if token else ""
    return {name: value for name, value in (("Host", host), ("Authorization", authorization)) if value}


def _ask(url: str, path: str, host: str = "") -> bytes:
    if not url:
        raise Problem("not checked: give --mlflow http://...")
    parts = urlsplit(http_address(url, "--mlflow", credentials=True))
    user = unquote(parts.username or os.environ.get("MLFLOW_TRACKING_USERNAME", ""))
    password = unquote(parts.password or os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = urllib.request.Request(url + path, headers=_headers(host, user, password))  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=findings.SECONDS) as reply:  # noqa: S310
            content = bytes(reply.read())
    except urllib.error.HTTPError as error:
        raise Refused(error.code) from None
    except OSError as error:
        raise Problem(f"no server answers at {url} ({type(error).__name__})") from None
    if is_page(content):
        raise Problem("a login page answers: set MLFLOW_TRACKING_TOKEN, or give MLflow's own address (a port-forward)")
    return content
