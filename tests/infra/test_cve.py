"""The CVE audit distinguishes none known, some known, and not checked."""

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from infra import cve
from tests.infra.manifests import ROOT

KNOWN = {"id": "GHSA-xxxx", "fix_versions": ["1.1"], "aliases": ["CVE-2026-0001"], "description": "d"}


class Refusing(BaseHTTPRequestHandler):
    """A proxy that refuses every connection."""

    def do_CONNECT(self):
        self.server.asked.append(self.path)
        self.send_error(403)

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy():
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_where_the_data_base_cannot_be_asked_nothing_is_called_clean(proxy, monkeypatch, capsys):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    assert cve.main(("infra/images/predictor.lock",)) == cve.NOT_CHECKED == 3
    output = capsys.readouterr().out
    assert "could not be queried about infra/images/predictor.lock" in output
    assert "NOT CHECKED" in output
    assert "Traceback" not in output
    assert "no known vulnerability" not in output
    assert proxy.asked


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([{"name": "a", "version": "1.0", "vulns": []}], 0, "no known vulnerability in x.lock"),
        ([{"name": "a", "version": "1.0", "vulns": [KNOWN]}], 1, "a 1.0: GHSA-xxxx, fixed in 1.1"),
        ([{"name": "a", "skip_reason": "not found"}], 3, "NOT CHECKED: x.lock"),
        ([], 3, "NOT CHECKED: x.lock"),
    ],
)
def test_what_pip_audit_reports_is_told(monkeypatch, capsys, packages, code, words):
    """The report has the form of pip-audit 2.10, whose exit code is 1 for a vulnerability and for a failure alike."""
    report = json.dumps({"dependencies": packages, "fixes": []})
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, report, "why"))
    assert cve.main(("x.lock",)) == code
    assert words in capsys.readouterr().out


def test_every_lock_is_audited():
    locks = {path.relative_to(ROOT).as_posix() for place in ("*.lock", "infra/**/*.lock") for path in ROOT.glob(place)}
    assert set(cve.LOCKS) == locks - {"infra/images/pipeline.lock"}
