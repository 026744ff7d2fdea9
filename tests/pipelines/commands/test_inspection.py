"""``srs inspect`` shows the tumours, or the structures to choose from if a choice is needed."""

import json

import numpy as np
import pytest
from pydicom.uid import generate_uid
from typer.testing import CliRunner

from components.common.errors import TumourError
from components.imaging.candidate import Candidate
from pipelines.commands.cli import app
from pipelines.commands.inspection import show_candidates
from pipelines.commands.terminal import screen
from tests.components.studies import Study, circle, make_contour, make_ct, make_rtstruct


@pytest.fixture
def study():
    """Two plans on one CT: GTV twice and Brain, and of another date GTV_2."""
    series, frame = generate_uid(), generate_uid()
    cts = [make_ct(z, series, frame, (1.0, 1.0), (64, 64)) for z in np.arange(9) * 1.5]
    plan = {"GTV": [make_contour(circle(8), 3.0)], "GTV*": [make_contour(circle(6), 6.0)], "Brain": None}
    plans = [make_rtstruct(plan, frame, series), make_rtstruct({"GTV_2": plan["GTV"]}, frame, series)]
    plans[1].StructureSetDate, plans[1].StructureSetLabel = "20250304", "REPLAN"
    return Study(cts, plans)


def inspect(study, folder, *options):
    study.write(folder)
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, ["inspect", str(folder), *options])


def test_several_rtstructs_are_listed_and_one_can_be_chosen(study, tmp_path, capfd):
    result = inspect(study, tmp_path)
    assert isinstance(result.exception, TumourError)
    assert result.exception.code == "RTSTRUCT_AMBIGUOUS"
    shown = result.output + capfd.readouterr().err
    for words in (*(plan.SOPInstanceUID for plan in study.rtstructs), "20250304", "REPLAN", "3 Brain", "1 GTV_2"):
        assert words in shown
        assert words not in str(result.exception)
    taken = inspect(study, tmp_path, "--rtstruct-uid", study.rtstructs[1].SOPInstanceUID, "--json")
    assert [one["roi_name"] for one in json.loads(taken.output)] == ["GTV_2"]


def test_structures_of_one_name_are_shown_with_their_numbers(study, tmp_path):
    study.rtstructs.pop()
    found = json.loads(inspect(study, tmp_path, "--json").output)
    assert [(one["roi_name"], one["roi_number"], one["z_mm"]) for one in found] == [
        ("GTV", "1", 3.0),
        ("GTV", "2", 6.0),
    ]
    for roi in ("2", "#2"):
        (one,) = json.loads(inspect(study, tmp_path, "--json", "--roi", roi).output)
        assert one["z_mm"] == 6.0


def test_warnings_are_shown_as_text_and_in_json(study, tmp_path):
    study.rtstructs.pop()
    del study.rtstruct.ROIContourSequence[0].ContourSequence[0].ContourGeometricType
    found = json.loads(inspect(study, tmp_path, "--json").output)
    assert [one["warnings"] for one in found] == [["CONTOUR_TYPE"], []]


def test_an_roi_that_is_neither_name_nor_number_nor_pattern_is_refused(study, tmp_path):
    study.rtstructs.pop()
    assert inspect(study, tmp_path, "--roi", "GTV (").exception.code == "ROI_PATTERN"
    assert inspect(study, tmp_path, "--roi", "Tumour").exception.code == "NO_GTV"


def test_no_heading_or_number_is_cut_on_a_terminal_of_80_columns(monkeypatch):
    monkeypatch.setattr(screen, "_width", 80)
    refused = Candidate(
        roi_name="GTV_frontal_left",
        roi_number="12",
        status="refused",
        code="NO_FRAME_OF_REFERENCE",
        planes=37,
        z_mm=-1234.5,
        width_mm=118.5,
        height_mm=101.1,
        hu_mean=-123.4,
        hu_sd=123.4,
        longest_diameter_mm=123.4,
        match_level="plane",
    )
    with screen.capture() as shown:
        show_candidates([refused])
    assert "…" not in shown.get()
    for words in ("NO_FRAME_OF_REFERENCE", "planes", "longest", "-1234.5", "plane"):
        assert words in shown.get()
