"""The processes that use a home are known by locks that end with them; the files of killed processes are removed."""

import subprocess
import sys
from pathlib import Path

import pytest

from components.common.errors import RegistryError
from pipelines.local.claims import Claim, others_alive, sweep

TAKE = """
import sys, time
from pathlib import Path
from pipelines.local.claims import Claim
claim = Claim.take(Path(sys.argv[1]))
claim.note(attempt="7", experiment="srs")
(claim.folder / "half a download").write_text("x")
print(claim.folder, flush=True)
time.sleep(60)
"""


@pytest.fixture
def home(tmp_path) -> Path:
    (tmp_path / "tmp").mkdir()
    return tmp_path


@pytest.fixture
def process(home):
    with subprocess.Popen([sys.executable, "-c", TAKE, str(home)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert Path(process.stdout.readline().strip()).is_dir()
        yield process
        process.kill()


def claims(home: Path) -> list[Path]:
    return list((home / "tmp").glob("srs-*"))


def test_a_living_process_keeps_its_files_and_a_killed_ones_are_swept(home, process):
    notes: list[dict] = []
    sweep(home, notes.append)
    assert (len(claims(home)), notes, others_alive(home)) == (1, [], True)
    process.kill()
    process.wait()
    assert not others_alive(home)
    sweep(home, notes.append)
    assert (claims(home), notes) == ([], [{"attempt": "7", "experiment": "srs"}])


def test_a_run_that_could_not_be_closed_is_closed_the_next_time(home, process):
    process.kill()
    process.wait()

    def unreachable(_facts):
        raise RegistryError("MLFLOW_UNREACHABLE", "it does not answer")

    sweep(home, unreachable)
    notes: list[dict] = []
    sweep(home, notes.append)
    sweep(home, notes.append)
    assert len(notes) == 1


def test_two_claims_of_one_process_are_distinguished_and_released(home):
    first, second = Claim.take(home), Claim.take(home)
    first.release()
    sweep(home, pytest.fail)
    assert claims(home) == [second.folder]
    second.release()
    assert claims(home) == []


def test_the_claim_of_a_run_whose_end_mlflow_does_not_know_stays(home):
    claim = Claim.take(home)
    claim.note(attempt="7", experiment="srs")
    claim.release()
    assert claims(home) == [claim.folder]
    claim.forget()
    claim.release()
    assert claims(home) == []


def test_a_damaged_note_is_no_reason_to_keep_it(home, process):
    process.kill()
    process.wait()
    (claims(home)[0] / "run.json").write_bytes(b"\xff{")
    sweep(home, pytest.fail)
    assert claims(home) == []


def test_files_of_the_users_own_in_tmp_are_left_alone(home):
    (home / "tmp" / "thesis.tex").write_text("mine")
    (home / "tmp" / "srs-notes").mkdir()
    sweep(home, pytest.fail)
    assert sorted(path.name for path in (home / "tmp").iterdir()) == [".lock", "srs-notes", "thesis.tex"]
