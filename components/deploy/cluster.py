"""Reads, applies and deletes InferenceServices of a cluster, and reads the template ConfigMap."""

import time
from collections.abc import Callable
from typing import Any

import urllib3
from kubernetes import client, config

from components.common.errors import InputError, SrsError
from components.common.yaml_text import read_yaml

GROUP, API_VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
FIELD_MANAGER = "srs-response-deploy"
#: ConfigMap in which the platform engineer configures the InferenceService (created by kustomize), and its key.
TEMPLATE_CONFIG_MAP, TEMPLATE_KEY = "srs-response-template", "inferenceservice.yaml"
#: Transient status codes: two writers collided, or the API server is busy or restarting.
TRANSIENT = (409, 429, 500, 502, 503, 504)
MOST_TRIES, FIRST_PAUSE_S = 5, 0.2


class Cluster:
    """The InferenceServices of one namespace, accessed through the Kubernetes API."""

    def __init__(self, configuration: Any, namespace: str, timeout_s: float = 30.0) -> None:
        configuration.retries = False  # ``_call`` retries, and only transient errors
        self._read = client.CustomObjectsApi(client.ApiClient(configuration))
        applying = client.ApiClient(configuration)
        # The generated client supports merge patches only.
        applying.set_default_header("Content-Type", "application/apply-patch+yaml")
        self._apply = client.CustomObjectsApi(applying)
        self._where = {"group": GROUP, "version": API_VERSION, "namespace": namespace, "plural": PLURAL}
        self._timeout_s = timeout_s  # per call

    def read(self, name: str) -> dict[str, Any] | None:
        """The object, or None where it does not exist."""
        return self._call(self._read.get_namespaced_custom_object, name=name)

    def apply(self, body: dict[str, Any]) -> dict[str, Any]:
        """Applies our fields server-side and returns the object with its new generation."""
        arguments = {"name": body["metadata"]["name"], "body": body, "field_manager": FIELD_MANAGER, "force": True}
        applied = self._call(self._apply.patch_namespaced_custom_object, **arguments)
        if applied is None:
            hint = "Install KServe and create the namespace first."
            raise SrsError("CLUSTER_REFUSED", "the cluster has no InferenceServices in this namespace", hint)
        return applied

    def delete(self, name: str) -> None:
        """Deletes the object if it exists."""
        self._call(self._read.delete_namespaced_custom_object, name=name)

    def _call(self, method: Callable[..., Any], **arguments: Any) -> dict[str, Any] | None:
        for attempt in range(MOST_TRIES):
            try:
                result: dict[str, Any] = method(**self._where, **arguments, _request_timeout=self._timeout_s)
                return result
            except client.ApiException as error:
                if error.status == 404:
                    return None
                if error.status not in TRANSIENT or attempt == MOST_TRIES - 1:
                    hint = "Check the permissions with `kubectl auth can-i create,patch inferenceservices`."
                    raise SrsError("CLUSTER_REFUSED", f"the cluster returned status {error.status}", hint) from None
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if attempt == MOST_TRIES - 1:
                    raise _unreachable(error) from None
            time.sleep(FIRST_PAUSE_S * 2**attempt)
        raise AssertionError("not reached")


def _unreachable(error: Exception) -> SrsError:
    what = f"the cluster does not respond ({type(error).__name__})"
    return SrsError("CLUSTER_UNREACHABLE", what, "Check the API server and the network.")


def cluster_configuration() -> Any:
    """Configuration for the cluster that the pod runs in, else for that of the current kubeconfig."""
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        try:
            config.load_kube_config(client_configuration=configuration)
        except config.ConfigException:
            hint = "Run this in a cluster, or set KUBECONFIG."
            raise InputError("CLUSTER_UNKNOWN", "no cluster is configured here", hint) from None
    return configuration


def read_template(configuration: Any, namespace: str) -> dict[str, Any]:
    """The platform engineer's settings for the namespace's InferenceService.

    Raises
    ------
    InputError
        ``TEMPLATE_UNREADABLE``.
    SrsError
        ``TEMPLATE_MISSING``, ``CLUSTER_REFUSED`` or ``CLUSTER_UNREACHABLE``.
    """
    core = client.CoreV1Api(client.ApiClient(configuration))
    try:
        config_map = core.read_namespaced_config_map(TEMPLATE_CONFIG_MAP, namespace, _request_timeout=30)
        values = read_yaml(config_map.data[TEMPLATE_KEY])
    except client.ApiException as error:
        if error.status == 404:
            hint = f"Apply infra/ first, which contains the ConfigMap {TEMPLATE_CONFIG_MAP}."
            raise SrsError("TEMPLATE_MISSING", f"{TEMPLATE_CONFIG_MAP} is not in namespace {namespace}", hint) from None
        hint = f"Check the permissions with `kubectl auth can-i get configmap/{TEMPLATE_CONFIG_MAP}`."
        message = f"the cluster returned status {error.status} for the template"
        raise SrsError("CLUSTER_REFUSED", message, hint) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _unreachable(error) from None
    except (TypeError, KeyError):
        raise _unreadable("the key is missing") from None
    except ValueError as error:
        raise _unreadable(str(error)) from None
    if not isinstance(values, dict):
        raise _unreadable("it holds no settings such as `name: srs-response`")
    return values


def _unreadable(reason: str) -> InputError:
    message = f"{TEMPLATE_KEY} in the ConfigMap {TEMPLATE_CONFIG_MAP} cannot be used: {reason}"
    return InputError("TEMPLATE_UNREADABLE", message, "Correct the ConfigMap of infra/, and run the step again.")
