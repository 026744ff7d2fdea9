"""The examples of the page for model consumers, run unchanged except for their ports."""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from components.common import tracking_store
from components.promote import registry
from components.promote.gate import Verdict
from serving.errors import _STATUS, CODES
from tests.components.model.bundles import make_bundle
from tests.serving.conftest import ROOT, free_port
from tests.serving.studies import study_files

CONSUMER = (ROOT / "docs" / "model-consumer.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", CONSUMER, re.DOTALL)
(SHELL,) = re.findall(r"```bash\n(.*?)```", CONSUMER, re.DOTALL)
(SERVE,) = re.findall(r"\.venv/bin/srs (serve [^\n]+)", CONSUMER)
(PREDICT,) = re.findall(r"\.venv/bin/srs (predict [^\n]+)", CONSUMER)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A user's folder after a run: a store with a champion, and a patient's DICOM files."""
    folder = tmp_path_factory.mktemp("consumer")
    manifest = make_bundle(folder / "bundle")
    (folder / "runs" / "mlflow").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/runs/mlflow/mlflow.db")
        tracking_store.prepare_store()
        run_id = tracking_store.client().create_run(tracking_store.experiment_id("srs")).info.run_id
        uri = registry.log_bundle(run_id, folder / "bundle", "ensemble-A")
        version = registry.register("srs-response", uri, run_id, manifest.digest, {"srs.group": "A"}, "# Card")
        verdict = Verdict("promoted", ("Value: enough.",), "A", {})
        registry.promote("srs-response", version, verdict, expected_previous="")
    (folder / "PATIENT_FOLDER").mkdir()
    for name, data in study_files().items():
        (folder / "PATIENT_FOLDER" / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def ports(folder):
    """Runs the predictor by the page's own command, on free ports in place of the page's."""
    found = {"8080": str(free_port()), "8081": str(free_port())}
    line = [sys.executable, "-m", "pipelines.commands.cli", *put(SERVE, found).split()]
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(line, cwd=folder, env=environment(), stdout=log, stderr=log)
    try:
        wait(process, f"http://127.0.0.1:{found['8080']}/v2/health/ready", folder / "serve.log")
        yield found
    finally:
        process.terminate()
        assert process.wait(60) == 0


def wait(process: subprocess.Popen, url: str, log: Path) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def put(text: str, ports: dict[str, str]) -> str:
    for old, new in ports.items():
        text = text.replace(old, new)
    return text


def environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    return {**environment, "PYTHONPATH": str(ROOT)}


def run(folder: Path, *line: str) -> str:
    done = subprocess.run(line, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_python_with_plain_mlflow(folder):
    (example,) = [block for block in PYTHON if "mlflow" in block]
    header, row = run(folder, sys.executable, "-c", example).strip().splitlines()[-2:]
    assert header.split() == ["probability", "vote_fraction", "calibrated_probability", "non_responder"]
    assert 0 <= float(row.split()[1]) <= 1


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(folder, ports):
    reply = run(folder, "bash", "-euc", put(SHELL, ports))
    assert '"roi_name":"GTV"' in reply
    assert '"model_version":"1"' in reply
    assert '"name":"crop_hu","datatype":"FP32"' in reply


def test_grpc(folder, ports):
    (example,) = [block for block in PYTHON if "InferenceGRPCClient" in block]
    reply = run(folder, sys.executable, "-c", put(example, ports)).strip().splitlines()[-1]
    assert 0 <= float(reply.strip("[]")) <= 1


def test_srs_predict(folder, ports):
    reply = run(folder, sys.executable, "-m", "pipelines.commands.cli", *put(PREDICT, ports).split())
    assert "GTV" in reply
    assert "SYNTHETIC" in reply


def test_the_table_of_errors_is_the_code_s():
    rows = re.findall(r"^\| ([\d, ]+) \| [^|]+ \| ([^|]+) \|", CONSUMER, re.MULTILINE)
    documented = {code: statuses for statuses, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    assert all(code in documented and str(status) in documented[code] for code, status in _STATUS.items())
    statuses = {code: str(status) for status, codes in CODES.items() for code in codes} | {"INTERNAL": "500"}
    assert all(statuses.get(code, "unknown") in documented[code] for code in documented)
