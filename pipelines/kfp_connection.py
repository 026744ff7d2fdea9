"""A connection to a KFP API server: who asks, time limits on every call, and refusals in words."""

import contextlib
import dataclasses
import io
import json
import warnings
from collections.abc import Iterator
from typing import Any

import kfp
import kfp_server_api
import urllib3

from components.common.errors import InputError, SrsError

#: Seconds to wait for an answer, whole ones; KFP's client itself would wait without end.
ANSWER_SECONDS = 60


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where the API answers, and as whom; ``namespace`` and ``token`` are what a multi-user KFP needs."""

    host: str
    namespace: str = ""
    token: str = ""
    ca_file: str = ""


def connect(address: Address) -> tuple[Any, str]:
    """KFP's own client, after a look whether it will be let in, and the namespace to name, "" for a single user.

    Raises
    ------
    InputError
        ``KFP_NAMESPACE`` for a multi-user server without a namespace, ``KFP_TOKEN`` where the token is refused.
    SrsError
        ``KFP_UNREACHABLE``.
    """
    many = is_multi_user(address)
    if many and not address.namespace:
        hint = "Give --namespace or KF_PIPELINES_NAMESPACE: your profile's namespace."
        raise InputError("KFP_NAMESPACE", "this KFP has many users and needs a namespace", hint)
    with warnings.catch_warnings(), told():
        warnings.simplefilter("ignore")
        client = kfp.Client(
            host=address.host,
            namespace=address.namespace if many else "kubeflow",  # which KFP's client takes for none
            existing_token=address.token or None,
            ssl_ca_cert=address.ca_file or None,
        )
    _bounded(client.pipelines.pipeline_service_list_pipelines.__self__.api_client)
    return client, address.namespace if many else ""


def is_multi_user(address: Address) -> bool:
    """Whether the server serves many users: asked first, and briefly, since KFP's client would try for a minute."""
    configuration = kfp_server_api.Configuration(host=address.host.rstrip("/"))
    if address.token:
        configuration.api_key["authorization"] = address.token
        configuration.api_key_prefix["authorization"] = "Bearer"
    if address.ca_file:
        configuration.ssl_ca_cert = address.ca_file
    configuration.retries = False
    with told():
        service = kfp_server_api.HealthzServiceApi(kfp_server_api.ApiClient(configuration))
        reply = service.healthz_service_get_healthz(_request_timeout=10, _preload_content=False)
    try:
        facts = json.loads(reply.data)
        # The UI's own server answers for the API in other words.
        return bool(facts.get("multi_user", facts.get("apiServerMultiUser", False)))
    except (ValueError, AttributeError):
        raise _unreachable("another server answers") from None


@contextlib.contextmanager
def told() -> Iterator[None]:
    """A KFP server's refusals in words."""
    try:
        yield
    except kfp_server_api.ApiException as error:
        if error.status in (401, 403):
            what = "does not know the token" if error.status == 401 else "does not allow this"
            hint = "Give a fresh token (--token-file or KF_PIPELINES_TOKEN) and your own namespace (--namespace)."
            raise InputError("KFP_TOKEN", f"KFP {what} ({error.status})", hint) from None
        raise SrsError("KFP_REFUSED", f"KFP answered {error.status}: {_message(error)}") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _unreachable(type(error).__name__) from None
    except ValueError as error:  # KFP's client says so what it will not send
        raise SrsError("KFP_REFUSED", str(error)) from None


def _unreachable(why: str) -> SrsError:
    hint = "Check --host (the ml-pipeline service or the UI's address) and the network."
    return SrsError("KFP_UNREACHABLE", f"no KFP API answers there ({why})", hint)


def _message(error: Any) -> str:
    """The server's own sentence, first line."""
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return str(json.loads(error.body)["message"]).splitlines()[0][:300]
    return str(error.reason)


def _bounded(api_client: Any) -> None:
    """Gives every call of KFP's client a time limit."""
    call = api_client.call_api

    def bounded(*arguments: Any, **options: Any) -> Any:
        return call(*arguments, **{**options, "_request_timeout": options.get("_request_timeout") or ANSWER_SECONDS})

    api_client.call_api = bounded


def silence() -> contextlib.redirect_stdout[io.StringIO]:
    """KFP's client prints links of its own."""
    return contextlib.redirect_stdout(io.StringIO())
