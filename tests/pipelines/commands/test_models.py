"""The registry's commands: a mistake ends in an error and an exit code, MLflow's absence within ten seconds."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mlflow import MlflowClient
from typer.testing import CliRunner

from components.common import mlflow_client
from components.common.errors import SrsError
from components.model.bundle_files import Bundle
from components.model.signing import PublicKey
from components.phantom.phantom import write_cohort
from pipelines.commands.cli import app
from pipelines.local.home import SOURCES
from pipelines.local.moving import fix
from pipelines.local.predictor_process import free_port
from tests.mlflow_api import PAGE, MlflowApi, serving
from tests.registry_store import MODEL, delete, lose_files

PATIENCE_S = 10.0


@pytest.fixture
def home(copied_home, monkeypatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # A user's command is its own process; in this one MLflow remembers the paths of the original's models.
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._artifact_repos_cache", OrderedDict())
    fix(copied_home)
    return copied_home


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> str:
    return str(write_cohort(tmp_path_factory.mktemp("phantom") / "cohort", tumours=8, patients=7))


@pytest.fixture
def api(monkeypatch) -> Iterator[MlflowApi]:
    monkeypatch.setattr(mlflow_client, "_reachable", set())
    with serving() as server:
        yield server


def srs(home: Path, *arguments: str) -> str:
    """The output of a command; raises its error, and fails the test on any exception that is not an ``SrsError``."""
    result = CliRunner().invoke(app, [*arguments, "--home", str(home)])
    if isinstance(result.exception, SrsError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result.output


def refused(home: Path, *arguments: str) -> tuple[str, int]:
    with pytest.raises(SrsError) as caught:
        srs(home, *arguments)
    assert caught.value.hint
    return caught.value.code, caught.value.exit_code


def champion(home: Path) -> str:
    client = MlflowClient(f"sqlite:///{home}/mlflow/mlflow.db")
    return str(client.get_registered_model(MODEL).aliases.get("champion", ""))


@pytest.mark.parametrize("version", ["99", "v2", "nobody", "1.0", ""])
def test_promote_refuses_an_unknown_version(home, version):
    assert refused(home, "promote", version, "--reason", "typo") == ("VERSION_UNKNOWN", 2)
    assert champion(home) == "3"


def test_promote_accepts_an_alias_and_prints_the_versions_number(home):
    MlflowClient(f"sqlite:///{home}/mlflow/mlflow.db").set_registered_model_alias(MODEL, "challenger", "1")
    output = srs(home, "promote", "challenger", "--reason", "seen by the board")
    assert f"{MODEL}: version 1 is champion; before: 3" in output


#: Brackets are no markup of the terminal.
REASON = "[/bold] seen by the [tumour] board"


def test_promote_of_the_champion_says_so_and_stores_the_reason(home):
    assert f"{MODEL}: version 3 is champion already" in srs(
        home, "promote", "3", "--reason", "[/bold] seen by the [tumour] board"
    )
    assert REASON in srs(home, "champion")
    assert f"{MODEL}: version 2 is champion again" in srs(home, "rollback")


@pytest.mark.parametrize("reason", ["", "  ", "..."])
def test_promote_needs_a_reason(home, reason):
    assert refused(home, "promote", "1", "--reason", reason) == ("REASON_MISSING", 2)
    assert champion(home) == "3"


@pytest.fixture
def key(tmp_path) -> Path:
    """A private key and its public key, as files."""
    private, public = tmp_path / "bundle-key.pem", tmp_path / "bundle-key.pub"
    made = Ed25519PrivateKey.generate()
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(made.private_bytes(*form))
    private.chmod(0o600)
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    public.write_bytes(made.public_key().public_bytes(*form))
    return private


def test_promote_signs_the_bundle_in_the_registry(home, key):
    public = PublicKey.read(key.with_suffix(".pub"))
    output = srs(home, "promote", "1", "--reason", "seen by the board", "--sign", str(key))
    assert f"{MODEL}: version 1 is champion; before: 3" in output
    assert public.fingerprint in output
    (signature,) = home.glob("mlflow/artifacts/models/*/artifacts/artifacts/1/manifest.sig")
    assert Bundle.read(signature.parent, public).signed_by == public.fingerprint


def test_promote_changes_nothing_with_a_key_that_cannot_sign(home, key):
    key.chmod(0o644)
    arguments = ("promote", "1", "--reason", "seen by the board", "--sign")
    for path in (key, key.with_suffix(".pub"), home / "absent.pem"):
        assert refused(home, *arguments, str(path)) == ("SIGNING_KEY", 2)
    assert champion(home) == "3"


def test_serve_hands_the_public_key_to_the_predictor(home, key, monkeypatch):
    lines: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, line: lines.append(line))
    monkeypatch.setenv("PYTHONPATH", "")
    port, public = str(free_port()), str(key.with_suffix(".pub"))
    srs(home, "serve", "--port", port, "--version", "2", "--public-key", public)
    (line,) = lines
    assert line[line.index("--public-key") + 1] == public
    assert refused(home, "serve", "--port", port, "--public-key", str(key)) == ("PUBLIC_KEY", 2)
    assert len(lines) == 1


@pytest.fixture
def taken() -> Iterator[str]:
    """A port of this machine that something listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


@pytest.mark.parametrize("host", ["", " "])
def test_serve_does_not_take_an_empty_host_for_all_addresses(tmp_path, host):
    assert refused(tmp_path, "serve", "--port", str(free_port()), "--host", host) == ("ADDRESS_INVALID", 2)


@pytest.mark.parametrize("grpc", ["abc", "", "0", "65536", "-1", "8.5", "Off", "\uff11", "9" * 5000])
def test_serve_refuses_a_grpc_port_before_it_opens_a_home(tmp_path, grpc):
    assert refused(tmp_path, "serve", "--port", str(free_port()), "--grpc", grpc) == ("ADDRESS_INVALID", 2)


def test_serve_refuses_a_grpc_port_that_is_its_http_port_or_in_use(tmp_path, taken):
    port = str(free_port())
    assert refused(tmp_path, "serve", "--port", port, "--grpc", port) == ("ADDRESS_INVALID", 2)
    with pytest.raises(SrsError, match="Name another by --grpc") as caught:
        srs(tmp_path, "serve", "--port", port, "--grpc", taken)
    assert caught.value.code == "PORT_IN_USE"


def test_a_deleted_model_is_told(home):
    MlflowClient(f"sqlite:///{home}/mlflow/mlflow.db").delete_registered_model(MODEL)
    assert refused(home, "promote", "1", "--reason", "typo") == ("VERSION_UNKNOWN", 2)
    assert refused(home, "champion") == ("NO_CHAMPION", 1)
    assert refused(home, "rollback") == ("NO_CHAMPION", 1)


def test_serve_refuses_a_version_that_is_not_there_or_has_lost_its_files(home):
    port = str(free_port())
    assert refused(home, "serve", "--port", port, "--version", "99") == ("VERSION_UNKNOWN", 2)
    lose_files(home / "mlflow" / "mlflow.db", 3)
    assert refused(home, "serve", "--port", port) == ("ARTIFACTS_MISSING", 1)


def test_an_alias_of_a_deleted_version_can_be_replaced(home):
    delete(home / "mlflow" / "mlflow.db", 3)
    for command in (["champion"], ["serve", "--port", str(free_port())], ["rollback"]):
        assert refused(home, *command) == ("CHAMPION_DELETED", 1)
    assert "version 2 is champion; before: none" in srs(home, "promote", "2", "--reason", "version 3 was deleted")
    assert f"{MODEL} version 2" in srs(home, "champion")


COMMANDS = [
    ["champion"],
    ["promote", "1", "--reason", "why not"],
    ["rollback"],
    ["serve"],
    ["run"],
]


FAULTS = {
    "502": ({"status": 502, "body": PAGE}, "MLFLOW_UNAVAILABLE"),
    "login page": ({"body": PAGE}, "MLFLOW_LOGIN_PAGE"),
    "401": ({"status": 401}, "MLFLOW_TOKEN"),
    "silent": ({"fault": "silent"}, "MLFLOW_UNREACHABLE"),
}
#: One command meets each fault, and each command meets silence: all go through one client.
MEETINGS = [(COMMANDS[0], fault) for fault in FAULTS] + [(command, "silent") for command in COMMANDS[1:]]


@pytest.mark.parametrize(("command", "fault"), MEETINGS, ids=[f"{command[0]}-{fault}" for command, fault in MEETINGS])
def test_every_command_reports_a_missing_mlflow_in_time(home, api, cohort, monkeypatch, command, fault):
    changed, code = FAULTS[fault]
    for name, value in changed.items():
        setattr(api, name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", api.address)
    more = {"serve": ["--port", str(free_port())], "run": ["--cohort", cohort]}.get(command[0], [])
    started = time.monotonic()
    assert refused(home, *command, *more)[0] == code
    assert time.monotonic() - started < PATIENCE_S
    assert len(api.calls) == 1


def test_a_server_that_fails_between_two_questions_does_not_hold_a_command(home, api):
    api.greets, api.status, api.body = True, 503, b""
    started = time.monotonic()
    assert refused(home, "champion", "--mlflow", api.address) == ("MLFLOW_UNAVAILABLE", 1)
    assert time.monotonic() - started < PATIENCE_S


@pytest.mark.parametrize("command", [*COMMANDS[:3], ["report"]], ids=lambda command: command[0])
@pytest.mark.parametrize("fault", ["502", "silent"])
def test_a_command_that_asks_a_server_makes_no_home(tmp_path, api, monkeypatch, command, fault):
    changed, code = FAULTS[fault]
    for name, value in changed.items():
        setattr(api, name, value)
    monkeypatch.setattr(os, "environ", dict(os.environ) | {"MLFLOW_TRACKING_URI": api.address})
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert refused(tmp_path / "home", *command)[0] == ("RUN_UNKNOWN" if command[0] == "report" else code)
    assert list(tmp_path.iterdir()) == []


def test_a_version_of_another_store_is_promoted_without_a_home(home, tmp_path):
    """In a process of its own: what it leaves is seen when it has ended."""
    apart = tmp_path / "apart"
    apart.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment["TMPDIR"] = str(apart)
    store = f"sqlite:///{home}/mlflow/mlflow.db"
    line = [sys.executable, "-m", "pipelines.commands.cli", "promote", "1", "--reason", "why not", "--mlflow", store]
    done = subprocess.run(line, cwd=apart, env=environment | {"PYTHONPATH": str(SOURCES)}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert champion(home) == "1"
    assert list(apart.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS[:4], ids=lambda command: command[0])
def test_a_database_that_is_not_there_is_refused_and_not_made(tmp_path, monkeypatch, command):
    store = f"sqlite:///{tmp_path}/absent.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    assert refused(tmp_path / "home", *command, *serving_port(command)) == ("TRACKING_URI", 2)
    assert list(tmp_path.iterdir()) == []


def serving_port(command: list[str]) -> list[str]:
    return ["--port", str(free_port())] if command == ["serve"] else []


def test_run_refuses_a_deleted_experiment_before_it_starts(home, cohort):
    client = MlflowClient(f"sqlite:///{home}/mlflow/mlflow.db")
    client.delete_experiment(client.create_experiment("gone"))
    assert refused(home, "run", "--cohort", cohort, "--experiment", "gone") == ("EXPERIMENT_DELETED", 2)
    assert refused(home, "run", "--cohort", "absent.csv", "--experiment", "gone") == ("COHORT_MISSING", 2)
    assert not list(home.glob("srs-response-*"))


def test_run_makes_no_store_for_a_table_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert refused(tmp_path, "run", "--cohort", "absent.csv") == ("COHORT_MISSING", 2)
    assert list(tmp_path.iterdir()) == []
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
