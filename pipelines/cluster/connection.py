"""A connection to a KFP API server: who asks, time limits on every call, and every failure as ``SrsError``.

KFP's client follows a redirect to a login and reads the page as an empty answer, so each reply is looked at first.
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

#: Seconds to wait for the first answer: a person waits for the command.
FIRST_SECONDS = 7
#: Seconds to wait for any later answer, whole ones; KFP's client itself would wait without end.
ANSWER_SECONDS = 60
#: Version whose behaviour this platform was checked against.
KFP_CHECKED = "2.17"
#: KFP's answer to a name that is taken.
CONFLICT = 409


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
        ``KFP_UNREACHABLE``, ``KFP_LOGIN_PAGE``, ``KFP_TLS``.
    """
    many = is_multi_user(address)
    if many and not address.namespace:
        hint = "Give --namespace or KF_PIPELINES_NAMESPACE: your profile's namespace."
        raise InputError("KFP_NAMESPACE", "this KFP has many users and needs a namespace", hint)
    with warnings.catch_warnings(), translated():
        warnings.simplefilter("ignore")
        client = kfp.Client(
            host=address.host,
            namespace=address.namespace if many else "kubeflow",  # which KFP's client takes for none
            existing_token=address.token or None,
            ssl_ca_cert=address.ca_file or None,
        )
    _bounded(client.pipelines.pipeline_service_list_pipelines.__self__.api_client)
    return _Client(client), address.namespace if many else ""


class _Client:
    """KFP's client, or one of its services: what a call raises leaves as ``SrsError``."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not callable(found):
            return _Client(found)

        def called(*arguments: Any, **options: Any) -> Any:
            with translated():
                return found(*arguments, **options)

        return called


def is_multi_user(address: Address) -> bool:
    """Whether the server serves many users: asked first, and briefly, since KFP's client would try for a minute."""
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
    # The UI's own server answers for the API in other words.
    return bool(facts.get("multi_user", facts.get("apiServerMultiUser", False)))


def _facts(reply: bytes) -> dict[str, Any]:
    """A reply's JSON object; says so where a login page or another server answers."""
    if is_page(reply):
        raise login_page()
    with contextlib.suppress(ValueError):
        found = json.loads(reply)
        if isinstance(found, dict):
            return found
    raise _unreachable("another server answers")


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Translates what a conversation with KFP raises."""
    try:
        yield
    except kfp_server_api.ApiException as error:
        raise _refusal(error) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _unreachable(type(error).__name__) from None
    except kfp_server_api.ApiTypeError as error:
        raise SrsError("KFP_REFUSED", f"KFP's client does not send this: {error}") from None
    except ValueError as error:  # KFP's client says so what it will not send
        raise SrsError("KFP_REFUSED", str(error)) from None
    except (TypeError, AttributeError, KeyError) as error:
        if isinstance(error.__context__, kfp_server_api.ApiException):  # its client stumbles over one without a body
            raise _refusal(error.__context__) from None
        hint = f"Is the server's version one that this platform was checked with ({KFP_CHECKED})?"
        raise SrsError("KFP_UNKNOWN_ANSWER", "KFP's answer lacks what its API promises", hint) from None


def _refusal(error: Any) -> SrsError:
    status = int(error.status or 0)
    if status in (401, 403):
        what = "does not know the token" if status == 401 else "does not allow this"
        hint = "Give a fresh token (--token-file or KF_PIPELINES_TOKEN) and your own namespace (--namespace)."
        return InputError("KFP_TOKEN", f"KFP {what} ({status})", hint)
    if 300 <= status < 400:
        return login_page()
    if not status:  # so the client says that TLS failed
        hint = "Give the host's certificate authority: --ca-file or KF_PIPELINES_SSL_CA_CERT; check the host's name."
        return SrsError("KFP_TLS", "the certificate or TLS of the host is not trusted", hint)
    if status in (502, 503, 504):
        hint = "A proxy said so: is ml-pipeline up behind that address, or just starting?"
        return SrsError("KFP_REFUSED", f"KFP answered {status}: {_message(error)}", hint)
    code = "KFP_CONFLICT" if status == CONFLICT else "KFP_REFUSED"
    return SrsError(code, f"KFP answered {status}: {_message(error)}")


def login_page() -> InputError:
    """``KFP_LOGIN_PAGE``: a proxy such as Dex sends people to a login, which a program cannot pass."""
    hint = (
        "Give a token (--token-file or KF_PIPELINES_TOKEN), or a --host without the login before it:"
        " kubectl port-forward -n kubeflow svc/ml-pipeline 8888, then --host http://localhost:8888."
    )
    return InputError("KFP_LOGIN_PAGE", "a login page answers there, not KFP's API", hint)


def _unreachable(why: str) -> SrsError:
    hint = "Check --host (the ml-pipeline service or the UI's address) and the network."
    return SrsError("KFP_UNREACHABLE", f"no KFP API answers there ({why})", hint)


def _message(error: Any) -> str:
    """The server's own sentence, first line."""
    with contextlib.suppress(ValueError, TypeError, AttributeError, LookupError):
        return str(json.loads(error.body)["message"]).splitlines()[0][:300]
    return str(error.reason)


def _bounded(api_client: Any) -> None:
    """Gives every call of KFP's client a time limit, and a look at its reply."""
    call, request = api_client.call_api, api_client.request

    def bounded(*arguments: Any, **options: Any) -> Any:
        return call(*arguments, **{**options, "_request_timeout": options.get("_request_timeout") or ANSWER_SECONDS})

    def looked_at(*arguments: Any, **options: Any) -> Any:
        reply = request(*arguments, **options)
        _facts(reply.data)
        return reply

    api_client.call_api, api_client.request = bounded, looked_at


def silence() -> contextlib.redirect_stdout[io.StringIO]:
    """KFP's client prints links of its own."""
    return contextlib.redirect_stdout(io.StringIO())
