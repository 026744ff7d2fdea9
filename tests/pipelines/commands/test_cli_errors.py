"""Invalid input ends in an error with a hint and exit code 2, and leaves no files behind."""

import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from components.phantom import phantom as writing
from components.phantom.faults import Faults
from components.phantom.phantom import write_cohort
from pipelines.commands.cli import app

ROOT = Path(__file__).parents[3]


def srs(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "pipelines.commands.cli", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb", "COLUMNS": "100"}
    return subprocess.run(line, capture_output=True, text=True, env=env, cwd=cwd, timeout=300)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("phantom") / "cohort", tumours=8, patients=7).parent


@pytest.fixture
def table(cohort, tmp_path):
    """A copy of the table that tests may change; it refers to the original DICOM folders."""
    shutil.copytree(cohort, tmp_path / "cohort")
    path = tmp_path / "cohort" / "cohort.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))

    def write(changed, columns=None):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns or list(rows[0]), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(changed)
        return path

    return rows, write


def test_missing_cohort_file(tmp_path):
    done = srs("run", "--cohort", str(tmp_path / "absent.csv"), "--home", str(tmp_path / "home"))
    refused(done, "COHORT_MISSING")


def test_missing_columns_are_all_named_at_once(table, tmp_path):
    rows, write = table
    path = write(rows, [name for name in rows[0] if name not in ("age", "kps", "device")])
    done = srs("run", "--cohort", str(path), "--home", str(tmp_path / "home"))
    refused(done, "COLUMNS_MISSING", "age", "kps", "device")


def test_unknown_response_names_the_row_and_not_the_value(table, tmp_path):
    rows, write = table
    rows[4]["response"] = "XX"
    done = srs("run", "--cohort", str(write(rows)), "--home", str(tmp_path / "home"))
    refused(done, "row 6", "CR, PR, SD, PD")
    assert "XX" not in done.stderr


def test_folders_without_rtstruct(table, tmp_path):
    rows, write = table
    path = write(rows)
    removed = [file.unlink() for file in path.parent.rglob("*.dcm") if file.name.startswith("RS")]
    assert removed
    done = srs("run", "--cohort", str(path), "--home", str(tmp_path / "home"))
    refused(done, "RTSTRUCT", "log:")


def test_too_few_tumours_for_the_splits(cohort, tmp_path):
    done = srs("run", "--cohort", str(cohort), "--home", str(tmp_path / "home"))
    refused(done, "TOO_FEW_TUMOURS", "step split", "log:")


def test_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused(srs("serve", "--port", str(taken.getsockname()[1])), "PORT_IN_USE", "--port")


def test_unwritable_output_folder(cohort, tmp_path):
    (tmp_path / "file").write_text("")
    done = srs("run", "--cohort", str(cohort), "--home", str(tmp_path / "file" / "home"))
    refused(done, "OUTPUT_UNWRITABLE", "--home")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run"], "COHORT_MISSING"),
        (["run", "--cohort", "x", "--preset", "papre"], "PRESET_UNKNOWN"),
        (["run", "--cohort", "x", "--set", "train.lerning_rate=1"], "SETTING_UNKNOWN"),
        (["run", "--cohort", "x", "--set", "nonsense"], "SETTING_UNKNOWN"),
        (["run", "--cohort", "x", "--set", "train.batch_size=0"], "SETTING_INVALID"),
        (["run", "--cohort", "x", "--study", "absent.yaml"], "STUDY_FILE_INVALID"),
        (["predict", "absent"], "STUDY_MISSING"),
        (["predict", "absent", "--url", "foo"], "ADDRESS_INVALID"),
        (["submit", "--host", "foo"], "ADDRESS_INVALID"),
        (["submit", "--host", "http://h:99999"], "ADDRESS_INVALID"),
        (["schedule", "--list", "--host", "ftp://x"], "ADDRESS_INVALID"),
        (["champion", "--mlflow", "http://[::1"], "TRACKING_URI"),
        (["submit", "--host", "http://h", "--ca-file", "absent"], "KFP_TLS"),
        (["compile", "-o", "x.yaml", "--parallelism", "9999999999"], "COMPILE_OPTION_INVALID"),
        (["compile", "-o", "x.yaml", "--retries", "9999999999"], "COMPILE_OPTION_INVALID"),
        (["compile", "-o", "x.yaml", "--timeout", "9999999999"], "COMPILE_OPTION_INVALID"),
        (["schedule", "x", "--every", "9999999999d"], "SCHEDULE_UNCLEAR"),
        (["report", "absent"], "RUN_UNKNOWN"),
        (["inspect", "absent"], "SOURCE_MISSING"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(arguments, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert result.exception.code == code
    assert result.exception.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--tumours", "0", "--seed", "-1", "--signal", "nan"], "PHANTOM_INVALID", ["0 tumours", "seed -1", "signal"]),
        (["--tumours", "8", "--patients", "9"], "PHANTOM_INVALID", ["9 patients"]),
        (
            ["--patient-effect", "2", "--centre-effect", "0.5", "--contrast-confounder", "nan"],
            "PHANTOM_INVALID",
            ["patient_effect 2", "at least 2 centres", "contrast_confounder nan"],
        ),
        (["--tumours", "8", "--patients", "7", "--out", "."], "FOLDER_FOREIGN", ["holds other files"]),
        (["--tumours", "8", "--patients", "7", "--out", "file/new"], "FOLDER_UNWRITABLE", ["cannot be written"]),
    ],
)
def test_phantom_starts_only_once_nothing_is_refused(arguments, code, says, tmp_path):
    (tmp_path / "file").touch()
    done = srs("phantom", "--out", "new", *arguments, cwd=tmp_path)
    refused(done, code, *says)
    assert not done.stdout  # neither "started" nor a bar


def test_phantom_passes_its_faults_on(tmp_path, monkeypatch):
    given = {}

    def write(out, **options):
        given.update(options)
        options["progress"](0, 1, "")
        return out

    monkeypatch.setattr(writing, "write_cohort", write)
    options = ["--patient-effect", "0.25", "--centres", "3", "--centre-effect", "0.5", "--contrast-confounder", "0.75"]
    result = CliRunner().invoke(app, ["phantom", "--out", str(tmp_path / "new"), *options])
    assert result.exit_code == 0, result.output
    assert given["faults"] == Faults(patient_effect=0.25, centres=3, centre_effect=0.5, contrast_confounder=0.75)


@pytest.mark.parametrize("command", [["inspect"], ["report"], ["champion", "--home"]])
def test_a_path_that_the_system_cannot_follow_is_refused(command, tmp_path):
    refused(srs(*command, "x" * 5000, cwd=tmp_path), "PATH_INVALID", "too long")


def test_settings_help_lists_every_setting_with_its_default():
    out = CliRunner().invoke(app, ["run", "--settings-help"]).output
    assert "train.learning_rate" in out
    assert "gate.min_mean_auc = 0.6" in out
    assert "patient, centre, tumour" in out
    assert "      smallest lesion included (longest diameter, mm)" in out
    assert "0 to 0.9" in out


def test_every_module_with_commands_is_imported_by_the_command_line():
    """Otherwise its commands do not exist."""
    folder = ROOT / "pipelines" / "commands"
    imported = re.findall(r"from pipelines\.commands import (\w+) as", (folder / "cli.py").read_text())
    commands = [path.stem for path in folder.glob("*.py") if re.search(r"^@\w+\.command\(", path.read_text(), re.M)]
    assert set(commands) == {*imported, "cli"}


@pytest.mark.parametrize("command", get_command(app).commands)
def test_every_command_has_help(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.output) > 200
    declared = get_command(app).commands[command]
    for one in (declared, *getattr(declared, "commands", {}).values()):
        assert one.help, one.name
        assert not [parameter.name for parameter in one.params if not getattr(parameter, "help", None)], one.name


def test_inspect_lists_the_tumours_of_a_phantom_patient(cohort):
    with (cohort / "cohort.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if row["longest_diameter_mm"] and row["roi"])
    picture = cohort.parent / "crops.png"
    found = json.loads(srs("inspect", str(cohort / row["dicom"]), "--json", "--png", str(picture)).stdout)
    (one,) = [candidate for candidate in found if candidate["roi_name"] == row["roi"]]
    assert abs(one["longest_diameter_mm"] - float(row["longest_diameter_mm"])) < 1.0
    assert one["match_level"] == "uid"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_doctor_names_a_taken_port(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = srs("doctor", "--home", str(tmp_path), "--port", str(taken.getsockname()[1]), "--json")
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 2
    assert findings["port"]["ok"] is False
    assert findings["Python"]["ok"] is True
    assert findings["mlflow"]["ok"] is True


def test_inspect_lists_the_structures_where_none_is_named_like_a_gtv(cohort):
    with (cohort / "cohort.csv").open() as file:
        folder = cohort / next(csv.DictReader(file))["dicom"]
    refused(srs("inspect", str(folder), "--roi", "Tumor"), "NO_GTV", "structures:", "External")


def test_compare_refuses_a_folder_without_a_run(tmp_path):
    refused(srs("compare", str(tmp_path), str(tmp_path)), "RUN_UNKNOWN")


INTERRUPTED = """
from pipelines.commands import cli

@cli.app.command()
def interrupted():
    raise KeyboardInterrupt

cli.main()
"""


def test_a_command_that_is_stopped_says_how_to_go_on():
    line = [sys.executable, "-c", INTERRUPTED, "interrupted"]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.strip() == "stopped; run the same command again to continue"
