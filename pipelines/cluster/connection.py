"""A connection to a KFP API server: credentials, a time limit on every call, and every failure as ``SrsError``.

KFP's client follows a redirect to a login page and reads the page as an empty answer, so each reply is checked first.
"""

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
from components.common.pages import is_page

#: Seconds to wait for the first answer; short, because a person waits for the command.
FIRST_SECONDS = 7
#: Seconds, as an integer, to wait for any later answer; KFP's client by itself would wait forever.
ANSWER_SECONDS = 60
#: Version whose behaviour this platform was checked against.
KFP_CHECKED = "2.17"
#: HTTP status with which KFP reports that a name is taken.
CONFLICT = 409


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Address of the API, and credentials; ``namespace`` and ``token`` are needed by a multi-user KFP."""

    host: str
    namespace: str = ""
    token: str = ""
    ca_file: str = ""


def connect(address: Address) -> tuple[Any, str]:
    """KFP's own client, after a check that it is admitted, and the namespace to use ("" for a single-user KFP).

    Raises
    ------
    InputError
        ``KFP_NAMESPACE`` if the server is multi-user and no namespace is given, ``KFP_TOKEN`` if it refuses the token.
    SrsError
        ``KFP_UNREACHABLE``, ``KFP_LOGIN_PAGE``, ``KFP_TLS``.
    """
    multi_user = is_multi_user(address)
    if multi_user and not address.namespace:
        hint = "Give your profile's namespace by --namespace or KF_PIPELINES_NAMESPACE."
        raise InputError("KFP_NAMESPACE", "this KFP is multi-user and needs a namespace", hint)
    with warnings.catch_warnings(), translated():
        warnings.simplefilter("ignore")
        client = kfp.Client(
            host=address.host,
            namespace=address.namespace if multi_user else "kubeflow",  # KFP's client reads this as no namespace
            existing_token=address.token or None,
            ssl_ca_cert=address.ca_file or None,
        )
    _bounded(client.pipelines.pipeline_service_list_pipelines.__self__.api_client)
    return _Client(client), address.namespace if multi_user else ""


class _Client:
    """KFP's client, or one of its services; whatever a call raises is translated into ``SrsError``."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._real, name)
        if not callable(attribute):
            return _Client(attribute)

        def called(*arguments: Any, **options: Any) -> Any:
            with translated():
                return attribute(*arguments, **options)

        return called


def is_multi_user(address: Address) -> bool:
    """Whether the server is multi-user; asked first, with a short limit: KFP's client would retry for a minute."""
    configuration = kfp_server_api.Configuration(host=address.host.rstrip("/"))
    if address.token:
        configuration.api_key["authorization"] = address.token
        configuration.api_key_prefix["authorization"] = "Bearer"
    if address.ca_file:
        configuration.ssl_ca_cert = address.ca_file
    configuration.retries = False
    with translated():
        service = kfp_server_api.HealthzServiceApi(kfp_server_api.ApiClient(configuration))
        reply = service.healthz_service_get_healthz(_request_timeout=FIRST_SECONDS, _preload_content=False)
    facts = _facts(reply.data)
    # The UI's own server reports the same fact under another key.
    return bool(facts.get("multi_user", facts.get("apiServerMultiUser", False)))


def _facts(reply: bytes) -> dict[str, Any]:
    """A reply's JSON object; raises if a login page or another server answers."""
    if is_page(reply):
        raise login_page()
    with contextlib.suppress(ValueError):
        facts = json.loads(reply)
        if isinstance(facts, dict):
            return facts
    raise _unreachable("another server answers")


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Translates errors of a call to KFP into ``SrsError``."""
    try:
        yield
    except kfp_server_api.ApiException as error:
        raise _refusal(error) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _unreachable(type(error).__name__) from None
    except kfp_server_api.ApiTypeError as error:
        raise SrsError("KFP_REFUSED", f"KFP's client refuses to send this: {error}") from None
    except ValueError as error:  # raised by KFP's client for what it refuses to send
        raise SrsError("KFP_REFUSED", str(error)) from None
    except (TypeError, AttributeError, KeyError) as error:
        if isinstance(error.__context__, kfp_server_api.ApiException):  # the client fails on a response without a body
            raise _refusal(error.__context__) from None
        hint = f"Is the server's version one that this platform was checked with ({KFP_CHECKED})?"
        raise SrsError("KFP_UNKNOWN_ANSWER", "KFP's answer lacks a field that its API promises", hint) from None


def _refusal(error: Any) -> SrsError:
    status = int(error.status or 0)
    if status in (401, 403):
        what = "does not know the token" if status == 401 else "does not allow this"
        hint = "Give a fresh token (--token-file or KF_PIPELINES_TOKEN) and your own namespace (--namespace)."
        return InputError("KFP_TOKEN", f"KFP {what} ({status})", hint)
    if 300 <= status < 400:
        return login_page()
    if not status:  # the client reports a TLS failure as status 0
        hint = "Give the host's certificate authority: --ca-file or KF_PIPELINES_SSL_CA_CERT; check the host's name."
        return SrsError("KFP_TLS", "the certificate or TLS of the host is not trusted", hint)
    if status in (502, 503, 504):
        hint = (
            "A proxy sent this reply: check that ml-pipeline is running behind that address; it may still be starting."
        )
        return SrsError("KFP_REFUSED", f"KFP answered {status}: {_message(error)}", hint)
    what = f"KFP answered {status}: {_message(error)}"
    if status == CONFLICT:
        return SrsError("KFP_CONFLICT", what, "Choose another name, or delete what has it.")
    return SrsError("KFP_REFUSED", what, "If the message does not say why, the log of ml-pipeline does.")


def login_page() -> InputError:
    """``KFP_LOGIN_PAGE``: a proxy such as Dex sends people to a login, which a program cannot pass."""
    hint = (
        "Give a token (--token-file or KF_PIPELINES_TOKEN), or a --host without the login before it:"
        " kubectl port-forward -n kubeflow svc/ml-pipeline 8888, then --host http://localhost:8888."
    )
    return InputError("KFP_LOGIN_PAGE", "a login page answers at that address, not KFP's API", hint)


def _unreachable(why: str) -> SrsError:
    hint = "Check --host (the ml-pipeline service or the UI's address) and the network."
    return SrsError("KFP_UNREACHABLE", f"no KFP API answers at that address ({why})", hint)


def _message(error: Any) -> str:
    """First line of the server's own message."""
    with contextlib.suppress(ValueError, TypeError, AttributeError, LookupError):
        return str(json.loads(error.body)["message"]).splitlines()[0][:300]
    return str(error.reason)


def _bounded(api_client: Any) -> None:
    """Gives every call of KFP's client a time limit, and checks its reply."""
    call, request = api_client.call_api, api_client.request

    def bounded(*arguments: Any, **options: Any) -> Any:
        return call(*arguments, **{**options, "_request_timeout": options.get("_request_timeout") or ANSWER_SECONDS})

    def checked(*arguments: Any, **options: Any) -> Any:
        reply = request(*arguments, **options)
        _facts(reply.data)
        return reply

    api_client.call_api, api_client.request = bounded, checked


def silence() -> contextlib.redirect_stdout[io.StringIO]:
    """Suppresses the links that KFP's client prints."""
    return contextlib.redirect_stdout(io.StringIO())
