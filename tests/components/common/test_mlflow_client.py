"""Every failure of an MLflow server, or of another server in its place, is translated in time with its own hint."""

import inspect
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import environment_variables
from mlflow.exceptions import MlflowException, RestException
from urllib3 import Retry

from components.common import mlflow_client, tracking, tracking_later, tracking_store
from components.common.artifacts.dataset import TUMOUR_COLUMNS, Dataset, Flow
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.learning_curve import CurvePoint, LearningCurve, Rise, RunPoint
from components.common.artifacts.members import Member
from components.common.artifacts.permutation import NullDistribution, PermutationTest
from components.common.artifacts.splits import MemberSplit, Splits, TrackedRuns
from components.common.errors import RegistryError, SrsError
from components.common.mlflow_errors import from_exception
from components.common.settings import StudySettings
from components.promote import registry
from components.promote.gate import Verdict
from tests.components.common.member_facts import made_facts
from tests.components.evaluate.golden_metrics import golden_metrics
from tests.mlflow_api import EXPERIMENTS, PAGE, MlflowApi, serving

MODEL = "srs-response"
#: Seconds in which any command has to say what is wrong.
PATIENCE_S = 10.0
#: Codes that a failing server may lead to.
CODES = {
    "MLFLOW_BUSY", "MLFLOW_FAILED", "MLFLOW_FORBIDDEN", "MLFLOW_LOGIN_PAGE", "MLFLOW_TOKEN", "MLFLOW_UNAVAILABLE",
    "MLFLOW_UNKNOWN_SERVER", "MLFLOW_UNREACHABLE",
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[MlflowApi]:
    with serving() as api:
        yield api


@pytest.fixture
def api(server: MlflowApi, monkeypatch: pytest.MonkeyPatch) -> MlflowApi:
    server.status, server.body, server.location, server.fault, server.greets = 200, EXPERIMENTS, "", "", False
    server.calls.clear()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.setattr(mlflow_client, "_reachable", set())
    return server


def error_of(call: Callable[[], Any]) -> SrsError:
    started = time.monotonic()
    with pytest.raises(SrsError) as caught:
        call()
    assert time.monotonic() - started < PATIENCE_S
    assert caught.value.hint
    return caught.value


def champion() -> Any:
    return registry.champion(MODEL)


@pytest.mark.parametrize(
    ("status", "body", "code", "hint"),
    [
        (401, b'{"error_code": "UNAUTHENTICATED", "message": "m"}', "MLFLOW_TOKEN", "MLFLOW_TRACKING_TOKEN"),
        (401, b'{"message": "Unauthorized"}', "MLFLOW_TOKEN", "MLFLOW_TRACKING_USERNAME"),
        (401, PAGE, "MLFLOW_TOKEN", "MLFLOW_TRACKING_TOKEN"),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "m"}', "MLFLOW_FORBIDDEN", "Ask for permission"),
        (403, b"Invalid Host header - possible DNS rebinding attack detected", "MLFLOW_FORBIDDEN", "--allowed-hosts"),
        (404, PAGE, "MLFLOW_UNKNOWN_SERVER", "path of MLFLOW_TRACKING_URI"),
        (429, b"slow down", "MLFLOW_BUSY", "in a few minutes"),
        (500, b'{"error_code": "INTERNAL_ERROR", "message": "m"}', "MLFLOW_FAILED", "server's log"),
        (502, PAGE, "MLFLOW_UNAVAILABLE", "proxy"),
        (503, b"", "MLFLOW_UNAVAILABLE", "finished starting"),
        (200, PAGE, "MLFLOW_LOGIN_PAGE", "MLFLOW_TRACKING_TOKEN"),
        (200, b"", "MLFLOW_UNKNOWN_SERVER", "port and path"),
        (200, b'{"hello": "world"}', "MLFLOW_UNKNOWN_SERVER", "port and path"),
        (200, b"[]", "MLFLOW_UNKNOWN_SERVER", "port and path"),
    ],
)
def test_each_reply_has_its_own_code_and_hint(api: MlflowApi, status: int, body: bytes, code: str, hint: str):
    api.status, api.body = status, body
    error = error_of(champion)
    assert error.code == code
    assert hint in error.hint
    assert "Check that the server is running" not in error.hint


def test_a_redirect_to_a_login_is_a_login_page(api: MlflowApi):
    api.location, api.body = "/login", PAGE
    assert error_of(champion).code == "MLFLOW_LOGIN_PAGE"


@pytest.mark.parametrize("fault", ["silent", "cut", "close"])
def test_a_server_that_does_not_respond_is_reported_in_time(api: MlflowApi, fault: str, monkeypatch):
    monkeypatch.setattr(mlflow_client, "ANSWER_SECONDS", 1.0)
    api.fault = fault
    error = error_of(champion)
    assert error.code == "MLFLOW_UNREACHABLE"
    assert "Check that the server is running" in error.hint


@pytest.mark.parametrize(("fault", "code"), [("drip", "MLFLOW_UNREACHABLE"), ("endless", "MLFLOW_UNKNOWN_SERVER")])
def test_a_server_that_never_stops_sending_is_reported_in_time(api: MlflowApi, fault: str, code: str, monkeypatch):
    monkeypatch.setattr(mlflow_client, "ANSWER_SECONDS", 1.0)
    api.fault = fault
    assert error_of(champion).code == code


def test_the_time_limit_of_the_first_request_is_short_enough():
    assert mlflow_client.CONNECT_SECONDS + mlflow_client.ANSWER_SECONDS < PATIENCE_S
    assert (
        mlflow_client.CONNECT_SECONDS + mlflow_client.INTERACTIVE_SECONDS <= PATIENCE_S / 2
    )  # the rest is the process's start


@pytest.mark.parametrize(
    ("uri", "code", "says"),
    [
        ("http://127.0.0.1:{port}", "MLFLOW_UNREACHABLE", "nothing listens at 127.0.0.1"),
        ("http://mlflow.invalid:5000", "MLFLOW_UNREACHABLE", "the host name of mlflow.invalid:5000 cannot be resolved"),
        ("https://127.0.0.1:{server}", "MLFLOW_TLS", "TLS of 127.0.0.1"),
        ("http://anna:secret@127.0.0.1:{port}", "MLFLOW_UNREACHABLE", "nothing listens at 127.0.0.1"),
    ],
)
def test_an_address_without_a_server_is_reported(api: MlflowApi, monkeypatch, uri: str, code: str, says: str):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(port=free, server=api.server_port))
    error = error_of(champion)
    assert error.code == code
    assert says in error.safe_message
    assert "secret" not in str(error)


def test_a_server_is_checked_once_per_process(api: MlflowApi):
    for _ in range(2):
        tracking.require_server()
    assert api.calls == ["POST /api/2.0/mlflow/experiments/search"]


def test_a_server_that_restarts_in_the_middle_of_a_step_is_waited_for(api: MlflowApi, monkeypatch):
    """By MLflow's own retries, counted here without their pauses, which are the next test's."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    tracking.require_server()
    api.status, api.body = 503, b""
    assert error_of(champion).code == "MLFLOW_UNAVAILABLE"
    assert len(api.calls) == 1 + 1 + 7


def test_mlflows_pauses_outlast_a_restart_of_a_minute():
    retries = environment_variables.MLFLOW_HTTP_REQUEST_MAX_RETRIES.default
    retry = Retry(total=retries, backoff_factor=environment_variables.MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR.default)
    pauses = []
    for _ in range(retries):
        retry = retry.increment("POST", "/", error=ConnectionError())
        pauses.append(retry.get_backoff_time())
    assert sum(pauses) > 2 * 60


replies = st.fixed_dictionaries(
    {"detail": st.text(max_size=5)},
    optional={"error_code": st.sampled_from(["UNAUTHENTICATED", "X", "401", ""]), "message": st.text(max_size=5)},
)
no_replies = [b"", PAGE, b"<html>", b"{", b"null", b"[]", b"3", b'"text"', b"\xff\xfe", EXPERIMENTS[:40]]
bodies = st.one_of(st.sampled_from(no_replies), replies.map(lambda reply: json.dumps(reply).encode()))
statuses = st.one_of(st.sampled_from([200, 201, 302, 401, 403, 404, 429, 500, 502, 503, 504]), st.integers(203, 599))


@given(status=statuses.filter(lambda status: status not in (204, 205, 304)), body=bodies)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_reply_that_is_not_mlflows_is_reported_with_a_known_code(api: MlflowApi, status: int, body: bytes):
    api.status, api.body = status, body
    assert error_of(champion).code in CODES


class Failing:
    """A client of a store that fails in the way of the parameter."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def fail(*_: Any, **__: Any) -> None:
            raise self._error

        return fail


MEMBER_SPLIT = MemberSplit("A", 1, ("t0", "t1"), ("t2", "t3"), ("t4", "t5"))
TREE = TrackedRuns("1", "0" * 32, {"A": "1" * 32})


NULL = NullDistribution(1, 0.5, None, 0.5)
RISE = Rise((0.1,), 0.1, None, None, None, None)
POINT = CurvePoint(0.5, 20.0, 15.0, (0.6,), 0.6, None)
CURVE = LearningCurve(1, 1, "mean", 1, 1, (POINT,), RunPoint(40.0, 30.0, 0.7, None), RISE)


def arguments(tmp_path: Path) -> dict[str, Any]:
    """A value for every name of an argument of the public functions."""
    table = pd.DataFrame({name: [f"{name}-{i}" for i in range(6)] for name in TUMOUR_COLUMNS})
    dataset = Dataset(np.zeros((6, 151, 151), np.float32), table, Flow(6, 6, (), 6, 6), {"version": 1}, True, "d" * 64)
    history = pd.DataFrame({"attempt": [0], "step": [1], "training_loss": [0.5]})
    metrics = golden_metrics("one_group")
    return {
        "experiment": "srs", "settings": StudySettings(), "dataset": dataset, "attempt": "a", "name": "n",
        "splits": Splits((MEMBER_SPLIT,), "patient", 0, {"asked": [1, 1]}, digest="s" * 64),
        "tracking": TREE, "members": [Member(MEMBER_SPLIT, {}, history, np.zeros(6, np.float32), made_facts())],
        "evaluation": Evaluation(pd.DataFrame(), pd.DataFrame({"group": ["A"], "index": [1]}), metrics, "e" * 64),
        "folder": tmp_path, "status": "FINISHED", "reason": "seen by the board", "model_name": MODEL, "version": "1",
        "model_uri": "models:/m-1", "run_id": "0" * 32, "bundle_digest": "d", "tags": {}, "description": "card",
        "verdict": Verdict("promoted", ("enough",), "A", {}), "expected_previous": "", "alias_or_version": "1",
        "test": PermutationTest(1, 1, 0.5, "mean", 0.6, None, NULL, None, (0.5,), (None,), 6, 0, None, 0),
        "file": tmp_path / "permutation.json", "curve": CURVE, "files": [tmp_path / "learning_curve.json"],
        "dst": tmp_path / "served", "bundle_folder": tmp_path / "bundle", "key": None,
    }  # fmt: skip


#: Values, not calls of the store; and the progress of a pack, which outlives its store.
NO_CALLS = ("ATTEMPT", "PackProgress", "client", "flatten", "tracking_uri", "require_server")
NO_CALLS += ("CHAMPION", "CHALLENGER", "REFERENCE")
PUBLIC = [
    pytest.param(module, name, id=f"{module.__name__.rpartition('.')[2]}.{name}")
    for module in (tracking, tracking_later, registry)
    for name in module.__all__
    if name not in (*NO_CALLS, "ChampionInfo", "log_bundle")
]
ERRORS = [
    MlflowException("a value"), RestException({"error_code": "PERMISSION_DENIED", "message": "a value"}),
    RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "a value"}), RuntimeError("a value"),
    OSError("a value"), ValueError("a value"), KeyError("a value"),
]  # fmt: skip


@pytest.mark.parametrize(
    "error", ERRORS, ids=lambda error: f"{type(error).__name__}-{getattr(error, 'error_code', '')}"
)
@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_no_public_function_raises_an_untranslated_error(module, name, error, tmp_path, monkeypatch):
    (tmp_path / "mlflow.db").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(mlflow_client, "MlflowClient", lambda **_: Failing(error))
    known, function = arguments(tmp_path), getattr(module, name)
    wanted = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    positional = {n: known[n] for n in wanted}
    with pytest.raises(SrsError) as caught:
        function(**positional)
    assert "a value" not in str(caught.value)


def test_a_bundle_is_logged_with_translated_errors(tmp_path, monkeypatch):
    from tests.components.model.bundles import make_bundle

    make_bundle(tmp_path / "bundle")
    (tmp_path / "mlflow.db").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(mlflow_client, "MlflowClient", lambda **_: Failing(RuntimeError("a value")))
    with pytest.raises(RegistryError, match="MLflow could not get run: RuntimeError"):
        registry.log_bundle("0" * 32, tmp_path / "bundle", "ensemble-A")


def test_a_lease_that_is_forbidden_is_reported_at_once(api: MlflowApi):
    api.greets, api.status, api.body = True, 403, b'{"error_code": "PERMISSION_DENIED", "message": "m"}'
    tracking.require_server()
    with pytest.raises(RegistryError, match="MLFLOW_FORBIDDEN"), tracking_store.exclusive(MODEL):
        raise AssertionError("unreachable")


def test_a_store_that_is_not_a_database_is_reported(tmp_path, monkeypatch):
    (tmp_path / "mlflow.db").write_text("this is no database, and long enough to be looked at" * 10)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    error = error_of(lambda: tracking.find_tree("srs", "a"))
    assert error.code == "MLFLOW_DAMAGED"
    assert str(tmp_path / "mlflow.db") in error.safe_message
    assert "backup" in error.hint


def test_an_srs_error_passes_unchanged():
    ours = RegistryError("CODE", "words")
    assert from_exception(ours, "do", "it") is ours


def raise_interrupt():
    raise KeyboardInterrupt


def test_a_database_is_created_atomically(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow/mlflow.db")
    with monkeypatch.context() as patch:
        patch.setattr(mlflow_client, "set_default_artifact_location", lambda _: raise_interrupt())
        with pytest.raises(KeyboardInterrupt):
            mlflow_client.client()
    assert not list((tmp_path / "mlflow").glob("*mlflow.db*"))
    made = mlflow_client.client().get_experiment("0")
    assert made.artifact_location == (tmp_path / "mlflow" / "artifacts").as_uri()
