"""The cluster that ``srs doctor --cluster`` checks: reading its objects, and what it means where that fails."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import urllib3
from kubernetes import client

from components.deploy.cluster import cluster_configuration
from pipelines.definitions.options import Compiled
from pipelines.doctor import findings
from pipelines.doctor.findings import Problem

NO_ANSWER = "the cluster does not answer"

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """The namespaces and objects to check.

    Parameters
    ----------
    runs
        Namespace of the runs' pods, with the addresses and secrets.
    serving
        Namespace of the InferenceService, with the template, the runtime and the deploy step's rights.
    service_account
        Service account of the pods, whose rights are checked; "" checks your own rights.
    gpu_type
        Resource name of the GPUs.
    names
        Compile options, with the names of ConfigMap and Secrets.
    """

    runs: str
    serving: str
    service_account: str
    gpu_type: str
    names: Compiled

    @property
    def configuration(self) -> Any:
        """The cluster of the current kubeconfig; requests are not retried."""
        configuration = cluster_configuration()
        configuration.retries = False
        return configuration

    @property
    def api(self) -> Any:
        """A client of the cluster."""
        return client.ApiClient(self.configuration)


def translated(check: Callable[[Target], T], target: Target) -> T:
    """Runs a check; raises errors of the cluster or of the way to it as ``Problem``."""
    try:
        return check(target)
    except client.ApiException as error:
        if error.status in (401, 403):
            raise Problem(
                f"you are not allowed to read it ({error.status}): ask an administrator of the cluster for the right"
            ) from None
        raise Problem(f"the cluster answered with status {error.status}") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Problem(f"{NO_ANSWER} ({type(error).__name__}): check the kubeconfig") from None


def read_object(method: Callable[..., Any], *arguments: str, missing: str) -> Any:
    """Reads an object; ``missing`` is the text of the ``Problem`` if it does not exist."""
    try:
        return method(*arguments, _request_timeout=findings.SECONDS)
    except client.ApiException as error:
        if error.status == 404:
            raise Problem(missing) from None
        raise
