import json
from types import SimpleNamespace

import pytest

from components.phantom import step
from components.phantom.component import phantom
from components.phantom.faults import Faults
from components.phantom.step import run

FAULTS = Faults(patient_effect=0.25, centres=3, centre_effect=0.5, contrast_confounder=0.75)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of a cohort that the component wrote, and its summary."""
    root = tmp_path_factory.mktemp("step")
    summary = SimpleNamespace(path=str(root / "summary.html"))
    phantom.python_func(str(root / "cohort"), 5, 4, 3, 1.0, 0.25, 3, 0.5, 0.75, summary)
    return root / "cohort", (root / "summary.html").read_text()


def test_the_component_writes_a_cohort_with_the_faults_of_its_parameters(written):
    folder, summary = written
    facts = json.loads((folder / "phantom.json").read_text())
    assert {name: facts[name] for name in FAULTS.facts()} == FAULTS.facts()
    assert all(name in summary for name in FAULTS.facts())


def test_the_same_cohort_is_not_written_again_and_one_with_other_faults_is(written, tmp_path, monkeypatch):
    folder, _ = written
    calls = []
    monkeypatch.setattr(step, "write_cohort", lambda _, **options: calls.append(options["faults"]))
    for faults in (FAULTS, Faults()):
        run(str(folder), 5, 4, 3, 1.0, faults, str(tmp_path / "summary.html"), lambda *_: None)
    assert calls == [Faults()]
