"""publish, submit and schedule: the real KFP client against an API server over HTTP."""

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from components.common.errors import InputError, SrsError
from pipelines.cluster import connection as kfp_connection
from pipelines.cluster import server as kfp_server
from pipelines.cluster.compiling import compile_pipeline
from pipelines.cluster.connection import Address, connect
from pipelines.commands.cli import app
from pipelines.commands.cluster import trigger_of
from pipelines.definitions.options import Compiled
from tests.pipelines.kfp_api import KfpApi

COHORT = ["--param", "cohort_uri=s3://dicom/cohort"]


def serve(api: http.server.ThreadingHTTPServer) -> Iterator[http.server.ThreadingHTTPServer]:
    with api:
        threading.Thread(target=api.serve_forever, daemon=True).start()
        yield api
        api.shutdown()


@pytest.fixture
def api(monkeypatch) -> Iterator[KfpApi]:
    monkeypatch.setattr(kfp_server, "POLL_SECONDS", 0.01)
    yield from serve(KfpApi())


@pytest.fixture
def many(monkeypatch) -> Iterator[KfpApi]:
    """A multi-user KFP with one token and one namespace."""
    monkeypatch.setattr(kfp_server, "POLL_SECONDS", 0.01)
    yield from serve(KfpApi(multi_user=True, token="right"))


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("package") / "srs-response.yaml"
    compile_pipeline("srs-response", path)
    return path


def srs(api, *arguments: str) -> str:
    """The output of a command; raises its error."""
    result = CliRunner().invoke(app, [*arguments, "--host", api.address], catch_exceptions=True)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_publishes_a_version_named_by_its_digest_once(api, package, tmp_path):
    first = srs(api, "publish", str(package))
    again = srs(api, "publish", str(package))
    [pipeline], [version] = api.kept["pipelines"], api.kept["versions"]
    assert pipeline["name"] == pipeline["display_name"] == "srs-response"
    assert version["name"] in first
    assert f"sha256 {version['name']}" in first
    assert "was already published" in again
    assert f"{api.address}/#/pipelines/details/{pipeline['pipeline_id']}/version/" in first.replace("\n", "")

    changed = tmp_path / "changed.yaml"
    digest = compile_pipeline("srs-response", changed, Compiled(retries=5))
    srs(api, "publish", str(changed))
    assert [one["name"] for one in api.kept["versions"]] == [digest[:12], version["name"]]
    assert len(api.kept["pipelines"]) == 1


def test_two_clients_that_publish_at_once_make_one_version(api, package, monkeypatch):
    srs(api, "publish", str(package))
    find, first = kfp_server.Server._find_version, iter([True])
    blind = lambda server, *names: None if next(first, False) else find(server, *names)  # noqa: E731
    monkeypatch.setattr(kfp_server.Server, "_find_version", blind)
    assert "was already published" in srs(api, "publish", str(package))
    assert len(api.kept["versions"]) == 1


def test_publishes_name_and_description_of_the_pipeline(api, package):
    srs(api, "publish", str(package))
    [version] = api.kept["versions"]
    assert "Compiled with" in version["description"]
    declared = version["pipeline_spec"]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    assert declared["cohort_uri"]["description"]
    assert "platform_spec" in version["pipeline_spec"]


def test_submits_the_newest_version_with_typed_parameters(api, package):
    srs(api, "publish", str(package))
    chosen = ["--param", "seed=7", "--param", 'node_selector={"gpu": "a100"}', "--param", "gpu_count=1"]
    printed = srs(api, "submit", *COHORT, *chosen, "--service-account", "pipeline-runner", "--experiment", "first")
    [run], [experiment] = api.kept["runs"], api.kept["experiments"]
    assert run["runtime_config"]["parameters"] == {
        "cohort_uri": "s3://dicom/cohort",
        "seed": 7,
        "node_selector": {"gpu": "a100"},
        "gpu_count": "1",
    }
    assert run["service_account"] == "pipeline-runner"
    assert (experiment["display_name"], run["experiment_id"]) == ("first", experiment["experiment_id"])
    assert f"{api.address}/#/runs/details/{run['run_id']}" in printed


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ([], ["cohort_uri: must be given"]),
        (
            ["seed=one", "gpus=1"],
            ["seed: 'one' is not an integer", "gpus: unknown name; known names: ", "cohort_uri: must be given"],
        ),
        (["cohort_uri=cohort.csv"], ["cohort_uri: 'cohort.csv' is not an absolute path"]),
        (["cohort_uri=s3://dicom/c", "memory=8 GB", "gpu_count=one"], ["memory: '8 GB'", "gpu_count: 'one'"]),
        (["cohort_uri=s3://dicom/c", "tolerations={}"], ["tolerations: '{}' is not a JSON list"]),
        (["cohort_uri=s3://dicom/c", "deploy_to=prod"], ["deploy_to: 'prod' is not one of none, kserve"]),
        (["cohort_uri=s3://dicom/c", "preset=papers"], ["there is no preset 'papers'"]),
        (["cohort_uri=s3://dicom/c", 'settings={"train": {"learning_rate": -1}}'], ["learning_rate"]),
        (["seed"], ["seed: not of the form name=value"]),
    ],
)
def test_refuses_bad_parameters_before_a_run_exists(api, package, flags, named):
    srs(api, "publish", str(package))
    with pytest.raises(InputError) as caught:
        srs(api, "submit", *(part for flag in flags for part in ("--param", flag)))
    for words in named:
        assert words in str(caught.value)
    assert not api.kept["runs"]


def test_refuses_a_pipeline_that_was_not_published(api, package):
    with pytest.raises(InputError, match="PIPELINE_NOT_PUBLISHED"):
        srs(api, "submit", *COHORT)
    srs(api, "publish", str(package))
    with pytest.raises(InputError, match="version 123 of srs-response is not published"):
        srs(api, "submit", *COHORT, "--version", "123")


def test_waits_and_prints_each_step_once(api, package):
    srs(api, "publish", str(package))
    printed = srs(api, "submit", *COHORT, "--wait")
    steps = [line.split() for line in printed.splitlines() if line.startswith("  ")]
    assert steps == [
        ["root", "running"],
        ["root", "succeeded"],
        ["fingerprint", "running"],
        ["fingerprint", "succeeded"],
        ["train", "running"],
        ["train", "succeeded"],
    ]
    assert printed.endswith("the run succeeded\n")


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_a_run_that_fails_fails_the_command(api, package, state):
    api.outcome = state
    srs(api, "publish", str(package))
    with pytest.raises(SrsError) as caught:
        srs(api, "submit", *COHORT, "--wait")
    assert (caught.value.code, caught.value.exit_code) == ("RUN_FAILED", 1)
    assert state in caught.value.safe_message


def test_waiting_has_an_end(api, package, monkeypatch):
    monkeypatch.setattr(api, "query", lambda run: {"run_id": run["run_id"], "state": "RUNNING"})
    srs(api, "publish", str(package))
    with pytest.raises(SrsError, match="RUN_TIMEOUT"):
        srs(api, "submit", *COHORT, "--wait", "--wait-limit", "1")


def test_schedules_lists_stops_and_removes(api, package):
    srs(api, "publish", str(package))
    srs(api, "schedule", "weekly", "--cron", "0 3 * * 1", *COHORT, "--service-account", "runner")
    srs(api, "schedule", "daily", "--every", "1d", *COHORT)
    daily, weekly = api.kept["recurringruns"]
    assert weekly["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * 1"}}
    assert daily["trigger"] == {"periodic_schedule": {"interval_second": "86400"}}
    assert (weekly["max_concurrency"], weekly["no_catchup"], weekly["mode"]) == ("1", True, "ENABLE")
    assert weekly["service_account"] == "runner"
    assert srs(api, "schedule", "weekly", "--disable") == "weekly: disabled\n"
    listed = srs(api, "schedule", "--list")
    [line] = [line for line in listed.splitlines() if "weekly" in line]
    assert "0 0 3 * * 1" in line
    assert "disabled" in line
    srs(api, "schedule", "weekly", "--enable")
    assert weekly["status"] == "ENABLED"
    srs(api, "schedule", "weekly", "--delete")
    assert [one["display_name"] for one in api.kept["recurringruns"]] == ["daily"]


def test_a_schedule_has_one_name_and_checked_parameters(api, package):
    srs(api, "publish", str(package))
    srs(api, "schedule", "weekly", "--every", "7d", *COHORT)
    with pytest.raises(InputError, match="SCHEDULE_EXISTS"):
        srs(api, "schedule", "weekly", "--every", "7d", *COHORT)
    with pytest.raises(InputError, match="cohort_uri: must be given"):
        srs(api, "schedule", "other", "--every", "7d")
    with pytest.raises(InputError, match="SCHEDULE_UNKNOWN"):
        srs(api, "schedule", "monthly", "--disable")
    assert len(api.kept["recurringruns"]) == 1


def test_finds_a_schedule_behind_the_first_page(api, package):
    srs(api, "publish", str(package))
    srs(api, "schedule", "first", "--every", "7d", *COHORT)
    [first] = api.kept["recurringruns"]
    others = [first | {"recurring_run_id": str(n), "display_name": str(n)} for n in range(150)]
    api.kept["recurringruns"] = [*others, first]
    assert srs(api, "schedule", "first", "--disable") == "first: disabled\n"
    assert first["status"] == "DISABLED"


@pytest.mark.parametrize(
    ("cron", "every"), [("", "0d"), ("", "week"), ("* * *", ""), ("0 3 * * 1", "1d"), ("; ; ; ; ;", "")]
)
def test_refuses_times_that_cannot_be_read(cron, every):
    with pytest.raises(InputError, match="SCHEDULE_UNCLEAR") as caught:
        trigger_of(cron, every)
    assert all(f"{text!r}" in caught.value.safe_message for text in (cron, every) if text)


@pytest.mark.parametrize(
    "flags", [[], ["--list", "--disable"], ["x", "--list"], ["--disable"], ["x", "--enable", "--every", "1d"]]
)
def test_refuses_an_unclear_schedule_command(api, flags):
    with pytest.raises(InputError, match="SCHEDULE_UNCLEAR"):
        srs(api, "schedule", *flags)
    assert not api.calls


def test_a_multi_user_kfp_needs_a_namespace_and_a_token(many, package, tmp_path):
    token = tmp_path / "token"
    with pytest.raises(InputError, match="KFP_NAMESPACE"):
        srs(many, "publish", str(package))
    with pytest.raises(InputError, match="does not know the token"):
        srs(many, "publish", str(package), "--namespace", "anna")
    token.write_text("right\n")
    flags = ["--token-file", str(token), "--namespace"]
    with pytest.raises(InputError, match="does not allow this"):
        srs(many, "publish", str(package), *flags, "bernd")
    srs(many, "publish", str(package), *flags, "anna")
    srs(many, "submit", *COHORT, "--wait", *flags, "anna")
    srs(many, "schedule", "weekly", "--every", "7d", *COHORT, *flags, "anna")
    assert "weekly" in srs(many, "schedule", "--list", *flags, "anna")
    assert many.kept["pipelines"][0]["namespace"] == "anna"
    assert many.kept["experiments"][0]["namespace"] == "anna"


def test_the_environment_names_host_namespace_and_token(many, package, monkeypatch):
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", many.address)
    monkeypatch.setenv("KF_PIPELINES_NAMESPACE", "anna")
    monkeypatch.setenv("KF_PIPELINES_TOKEN", "right")
    result = CliRunner().invoke(app, ["publish", str(package)])
    assert result.exit_code == 0, result.exception
    assert many.kept["versions"]


def test_writes_only_the_requested_file(many, package, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    connect(Address(many.address, "anna", "right"))
    assert not list(tmp_path.rglob("*"))


def test_missing_host_file_and_server_are_reported(tmp_path, package):
    missing = CliRunner().invoke(app, ["submit"])
    assert (missing.exception.code, missing.exception.exit_code) == ("KFP_HOST", 2)
    junk = tmp_path / "junk.yaml"
    for content in ("", "a: b", "\x00", "- ["):
        junk.write_text(content)
        result = CliRunner().invoke(app, ["publish", str(junk), "--host", "http://127.0.0.1:9"])
        assert result.exception.code == "PACKAGE_INVALID"
    started = time.monotonic()
    result = CliRunner().invoke(app, ["publish", str(package), "--host", "http://127.0.0.1:9"])
    assert (result.exception.code, result.exception.exit_code) == ("KFP_UNREACHABLE", 1)
    assert time.monotonic() - started < 10


class Page(http.server.BaseHTTPRequestHandler):
    """A server that is not KFP: it answers every request with a page."""

    def log_message(self, *_) -> None:
        pass

    status, body, location = 200, b"<html>sign in</html>", ""
    healthy = False

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.healthy and "healthz" in self.path:
            self.reply(200, b'{"multi_user": false}')
        elif self.location and self.path != self.location:
            self.reply(302, b"")
        else:
            self.reply(self.status, self.body)

    do_POST = do_DELETE = do_GET  # noqa: N815

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def paging(**changed) -> Iterator[str]:
    """The address of a server that gives this answer."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Page,), changed)) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_another_server_is_not_taken_for_kfp():
    with paging(body=b"It works!") as address, pytest.raises(SrsError, match="another server answers"):
        connect(Address(address))


@pytest.mark.parametrize("healthy", [False, True])
@pytest.mark.parametrize("location", ["", "/dex/auth"])
@pytest.mark.parametrize(
    "line",
    [
        ["submit", *COHORT],
        ["publish", "PACKAGE"],
        ["schedule", "weekly", "--every", "7d", *COHORT],
        ["schedule", "--list"],
        ["schedule", "weekly", "--delete"],
    ],
    ids=" ".join,
)
def test_a_login_page_is_reported_as_one(package, line, location, healthy):
    """Dex sends those without a session there by 302; KFP's client would follow and read the page as an empty list."""
    line = [str(package) if word == "PACKAGE" else word for word in line]
    with paging(location=location, healthy=healthy) as address:
        result = CliRunner().invoke(app, [*line, "--host", address])
    assert (result.exception.code, result.exception.exit_code) == ("KFP_LOGIN_PAGE", 2)
    assert "--token-file" in result.exception.hint
    assert "port-forward" in result.exception.hint


def test_a_host_without_tls_is_told():
    with paging() as address, pytest.raises(SrsError, match="KFP_TLS"):
        connect(Address(address.replace("http://", "https://")))


CODES = {"KFP_LOGIN_PAGE", "KFP_UNREACHABLE", "KFP_TOKEN", "KFP_REFUSED", "KFP_CONFLICT", "KFP_UNKNOWN_ANSWER"}
PAGES = [b"", b"<html>", b"\xef\xbb\xbf<html>", b"[]", b"null", b"{", b"3", b"\xff", b"{}"]
FACTS = [
    b'{"pipelines": 3}',
    b'{"recurringRuns": {}}',
    b'{"pipelines": [{}]}',
    b'{"pipelines": [3]}',
    b'{"message": 5}',
    b'{"message": ""}',
]
statuses = st.one_of(st.sampled_from([200, 302, 307, 401, 403, 404, 409, 500, 502, 503]), st.integers(206, 599))


@given(
    status=statuses.filter(lambda status: status not in (204, 205, 304)),
    body=st.sampled_from(PAGES + FACTS),
    healthy=st.booleans(),
)
@settings(max_examples=40)
def test_any_answer_is_understood_or_reported_with_a_known_code(status, body, healthy):
    with paging(status=status, body=body, healthy=healthy) as address:
        for ask in (lambda server: server.version("srs-response"), lambda server: server.schedules()):
            code = ""
            try:
                ask(kfp_server.Server.open(Address(address)))
            except SrsError as error:
                code = error.code
            assert code in CODES | {"PIPELINE_NOT_PUBLISHED", ""}
            assert code or status < 300


def test_a_server_that_falls_silent_times_out(api, monkeypatch):
    monkeypatch.setattr(kfp_connection, "ANSWER_SECONDS", 1)
    server = kfp_server.Server.open(Address(api.address))
    monkeypatch.setattr(api, "listing", lambda *_: time.sleep(5))
    with pytest.raises(SrsError, match="KFP_UNREACHABLE"):
        server.version("srs-response")
