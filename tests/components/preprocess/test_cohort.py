import csv
import dataclasses
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from components.common.artifacts.dataset import LATER_COLUMNS, TUMOUR_COLUMNS, Dataset
from components.common.errors import InputError, StorageError, TumourError
from components.common.settings import PreprocessSettings
from components.common.store.folder import FolderStore
from components.imaging import gtv
from components.imaging.listing import list_rtstructs
from components.imaging.reasons import WARNINGS
from components.preprocess.cohort import preprocess_cohort, read_cohort
from components.preprocess.deidentify import Pseudonymiser
from components.preprocess.distinct import COMPARED_SLICES
from components.preprocess.exclusions import REASONS, TABLE_RULES, flow_lines

SETTINGS = PreprocessSettings()
BASE = {
    "response": "PR", "follow_up_days": "60", "primary_brain_cancer": "no", "whole_brain_radiotherapy": "no",
    "n_brain_metastases": "1", "skull_infiltration": "no", "primary_site": "lung", "location": "cerebrum", "age": "61",
    "sex": "female", "kps": "90", "primary_controlled": "yes", "extracranial_metastases": "no", "systemic_therapy": "",
    "total_dose_gy": "24", "fractions": "3", "device": "linac",
}  # fmt: skip


def circle(radius):
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return radius * np.column_stack([np.cos(angle), np.sin(angle)])


@pytest.fixture
def cohort(tmp_path, make_study):
    """``cohort(rows)`` writes one good patient folder per ``dicom`` that is not there yet, and the table."""

    def write(*rows):
        rows = [
            {"tumour_id": f"tum-{i}", "patient_id": f"pat-{row['dicom']}", "roi": "", **BASE, **row}
            for i, row in enumerate(rows)
        ]
        for row in rows:
            if not (tmp_path / row["dicom"]).exists() and row.pop("written", True):
                make_study().of_patient(row["dicom"]).write(tmp_path / row["dicom"])
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with (tmp_path / "cohort.csv").open("w") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows({k: v for k, v in row.items() if k != "written"} for row in rows)
        return str(tmp_path)

    return write


def run(uri, settings=SETTINGS, **options):
    return preprocess_cohort(uri, settings, b"key", **options)


def counts(dataset):
    return {line.code: line.tumours for line in dataset.flow.exclusions if line.tumours}


def test_a_cohort_becomes_a_dataset(cohort, tmp_path, make_study):
    apart = {"GTV_1": {3.0: [circle(7)]}, "GTV_2": {4.5: [circle(8) + 9]}, "GTV_3": {4.5: [circle(8)]}}
    make_study(apart).of_patient("b").write(tmp_path / "b")
    uri = cohort({"dicom": "a"}, {"dicom": "b", "roi": "GTV_1", "response": "PD"}, {"dicom": "b", "roi": "GTV_2"})
    reported = []
    dataset = run(uri, progress=lambda *args: reported.append(args))
    assert dataset.crops.shape == (3, 151, 151)
    assert dataset.crops.dtype == np.float32
    assert tuple(dataset.tumours.columns) == TUMOUR_COLUMNS
    assert list(dataset.tumours.tumour) == sorted(dataset.tumours.tumour)
    assert sorted(dataset.tumours.label) == [0, 0, 1]
    assert (dataset.flow.listed, dataset.flow.used, dataset.flow.used_patients, dataset.flow.unlisted_gtvs) == (
        3,
        3,
        2,
        1,
    )
    assert dataset.image_definition["slice_rule"] == "centre"
    assert not dataset.synthetic
    assert [(done, total) for done, total, _ in reported] == [(1, 2), (2, 2)]
    dataset.write(tmp_path / "out")
    again = Dataset.read(tmp_path / "out")
    assert (again.crops == dataset.crops).all()
    assert (again.tumours.bed10_gy == 43.2).all()


def test_optional_columns_and_facts_of_the_scan_reach_the_dataset(cohort, tmp_path, make_study):
    study = make_study().of_patient("a")
    for ct in study.cts:
        ct.KVP, ct.SliceThickness, ct.ConvolutionKernel, ct.ContrastBolusAgent = "120", "1.25", "H31s", "IODINE"
    study.write(tmp_path / "a")
    diameters = {"response": "", "baseline_diameter_mm": "20", "follow_up_diameter_mm": "26", "nadir_diameter_mm": "18"}
    later = {"pseudoprogression": "yes", "later_response": "PR", "later_follow_up_days": "200"}
    therapy = {"systemic_therapy": "no", "systemic_therapy_kind": "none"}
    uri = cohort({"dicom": "a", "centre": "north", **diameters, **later, **therapy}, {"dicom": "b"})
    dataset = run(uri)
    dataset.write(tmp_path / "out")
    table = Dataset.read(tmp_path / "out").tumours
    known = table[table.kvp.notna()].iloc[0]
    assert known[list(LATER_COLUMNS)].to_dict() == {
        "centre": Pseudonymiser(b"key").centre("north"), "pseudoprogression": "yes", "later_response": "PR",
        "later_follow_up_days": 200, "systemic_therapy_kind": "none", "baseline_diameter_mm": 20,
        "follow_up_diameter_mm": 26, "nadir_diameter_mm": 18, "contrast_agent": "yes", "kvp": 120,
        "slice_thickness_mm": 1.25, "kernel": "standard",
    }  # fmt: skip
    assert known.response == "PD"
    assert table[table.kvp.isna()].iloc[0][list(LATER_COLUMNS)].isna().all()


def test_a_patients_centre_counts_for_all_tumours_and_stays_when_the_cohort_grows(cohort, tmp_path, make_study):
    make_study({"GTV_1": {3.0: [circle(7)]}, "GTV_2": {4.5: [circle(8) + 9]}}).of_patient("b").write(tmp_path / "b")
    two = ({"dicom": "b", "roi": "GTV_1", "centre": "north"}, {"dicom": "b", "roi": "GTV_2"})
    before = set(run(cohort(*two)).tumours.centre)
    assert len(before) == 1
    grown = run(cohort(*two, {"dicom": "a", "centre": "aarhus"}, {"dicom": "c", "centre": "north"})).tumours
    assert sorted(grown.centre.value_counts()) == [1, 3]
    assert grown.centre.value_counts().index[0] in before


def test_the_same_key_gives_the_same_dataset_with_any_workers(cohort, tmp_path):
    uri = cohort(*({"dicom": name} for name in "abcd"))
    digests = {run(uri, workers=n).write(tmp_path / f"out{n}") for n in (1, 3)}
    assert len(digests) == 1
    other = preprocess_cohort(uri, SETTINGS, b"another key")
    assert not set(other.tumours.tumour) & set(Dataset.read(tmp_path / "out1").tumours.tumour)


def test_every_rule_of_the_study_counts_a_tumour_once_by_the_first(cohort, tmp_path, make_study):
    make_study({"GTV": {4.5: [circle(19)]}}).write(tmp_path / "large")
    make_study({"GTV": {4.5: [circle(4)]}}).write(tmp_path / "small")
    uri = cohort(
        {"dicom": "a"},
        {"dicom": "b", "follow_up_days": "", "response": "", "skull_infiltration": "yes", "written": False},
        {"dicom": "c", "follow_up_days": "93", "written": False},
        {"dicom": "d", "primary_brain_cancer": "yes", "written": False},
        {"dicom": "e", "whole_brain_radiotherapy": "yes", "written": False},
        {"dicom": "f", "n_brain_metastases": "6", "written": False},
        {"dicom": "g", "skull_infiltration": "yes", "written": False},
        {"dicom": "h", "longest_diameter_mm": "35.1", "written": False},
        {"dicom": "i", "longest_diameter_mm": "9.9", "written": False},
        {"dicom": "j", "follow_up_days": "0", "response": "", "written": False},
        {"dicom": "large"},
        {"dicom": "small"},
    )
    dataset = run(uri)
    assert [line.code for line in dataset.flow.exclusions] == list(TABLE_RULES)
    assert list(counts(dataset).values()) == [2, 1, 1, 1, 1, 1, 2, 2]
    assert dataset.flow.used == 1


def test_an_image_on_the_day_of_srs_is_no_follow_up_and_is_counted_only_where_there_is_one(cohort):
    dataset = run(cohort({"dicom": "a"}, {"dicom": "b", "follow_up_days": "0", "written": False}))
    assert counts(dataset) == {"SAME_DAY_FOLLOW_UP": 1}
    assert list(run(cohort({"dicom": "a", "follow_up_days": "1"})).tumours.follow_up_days) == [1]
    assert "SAME_DAY_FOLLOW_UP" not in [line.code for line in run(cohort({"dicom": "a"})).flow.exclusions]


def test_the_diameter_in_the_table_takes_precedence_over_the_measured_one(cohort, tmp_path, make_study):
    make_study({"GTV": {4.5: [circle(19)]}}).write(tmp_path / "large")
    dataset = run(cohort({"dicom": "a"}, {"dicom": "large", "longest_diameter_mm": "34"}))
    assert sorted(dataset.tumours.diameter_mm)[1] == 34


def test_a_gtv_wider_than_the_crop_is_excluded(cohort, tmp_path, make_study):
    make_study({"GTV": {4.5: [circle(21)]}}, shape=(96, 96)).write(tmp_path / "wide")
    dataset = run(cohort({"dicom": "a"}, {"dicom": "wide", "longest_diameter_mm": "34"}))
    assert counts(dataset) == {"WIDER_THAN_CROP": 1}


def test_the_size_rule_comes_before_technical_problems(cohort, tmp_path, make_study):
    study = make_study({"GTV": {3.0: [circle(19)], 6.0: [circle(19)]}}, zs=[0, 1.5, 3.0, 6.0, 7.5, 9.0])
    study.write(tmp_path / "large")
    assert counts(run(cohort({"dicom": "a"}, {"dicom": "large"}))) == {"TOO_LARGE": 1}


def test_one_bad_tumour_excludes_itself_only(cohort, tmp_path, make_study):
    two = make_study({"GTV_1": {3.0: [circle(7)]}, "GTV_2": {4.5: [circle(8)]}})
    two.write(tmp_path / "two")
    study = make_study()
    study.rtstructs = []
    study.write(tmp_path / "no_rs")
    (tmp_path / "empty").mkdir()
    uri = cohort(
        {"dicom": "a"}, {"dicom": "two"}, {"dicom": "no_rs"}, {"dicom": "absent", "written": False},
        {"dicom": "empty"}, {"dicom": "/nowhere/at/all", "written": False}, {"dicom": "../out", "written": False},
    )  # fmt: skip
    dataset = run(uri)
    assert counts(dataset) == {
        "ROI_AMBIGUOUS": 1, "NO_RTSTRUCT": 1, "DICOM_MISSING": 3, "PATH_OUTSIDE": 1,
    }  # fmt: skip
    assert dataset.flow.listed == 7
    assert all(line.reason for line in dataset.flow.exclusions)


def test_warnings_about_used_gtvs_are_counted(cohort, tmp_path, make_study):
    stray = {"GTV": {3.0: [circle(7)], 4.5: [circle(8), circle(0.3) + 18, circle(8)]}}
    make_study(stray).of_patient("b").write(tmp_path / "b")
    dataset = run(cohort({"dicom": "a"}, {"dicom": "b"}))
    assert {line.code: line.tumours for line in dataset.flow.warnings} == {"STRAY_CONTOUR": 1, "CONTOUR_TWICE": 1}
    dataset.write(tmp_path / "out")
    assert Dataset.read(tmp_path / "out").flow == dataset.flow


def test_every_warning_about_a_gtv_has_a_phrase():
    package = Path(gtv.__file__).parent
    codes = {
        code for path in package.glob("*.py") for code in re.findall(r'(?:Note|warned)\("([A-Z_]+)"', path.read_text())
    }
    assert codes
    assert codes <= set(WARNINGS)


def test_strict_stops_at_the_first_unreadable_tumour_and_names_the_row(cohort):
    uri = cohort({"dicom": "a"}, {"dicom": "b", "roi": "GTV_Lindqvist"})
    with pytest.raises(TumourError) as caught:
        run(uri, dataclasses.replace(SETTINGS, strict=True))
    assert caught.value.code == "ROI_MISSING"
    assert "row 3" in str(caught.value)
    assert "Lindqvist" not in str(caught.value)


def test_strict_allows_exclusions_by_the_studys_rules(cohort, tmp_path, make_study):
    make_study({"GTV": {4.5: [circle(19)]}}).write(tmp_path / "large")
    dataset = run(cohort({"dicom": "a"}, {"dicom": "large"}), dataclasses.replace(SETTINGS, strict=True))
    assert counts(dataset) == {"TOO_LARGE": 1}


def test_the_same_failure_everywhere_is_an_error_of_the_cohort(cohort):
    uri = cohort({"dicom": "a", "written": False}, {"dicom": "b", "written": False})
    with pytest.raises(InputError) as caught:
        run(uri)
    assert (caught.value.code, caught.value.exit_code) == ("DICOM_MISSING", 2)
    assert caught.value.hint


def test_a_cohort_without_a_usable_tumour_is_refused(cohort):
    uri = cohort({"dicom": "a", "n_brain_metastases": "9"}, {"dicom": "b", "skull_infiltration": "yes"})
    with pytest.raises(InputError) as caught:
        run(uri)
    assert caught.value.code == "NOTHING_LEFT"
    assert "TOO_MANY_METASTASES" in caught.value.safe_message


def test_a_response_may_be_empty_only_where_a_rule_excludes(cohort):
    uri = cohort({"dicom": "a"}, {"dicom": "b", "response": ""})
    with pytest.raises(InputError) as caught:
        run(uri)
    assert "row 3, response: empty" in caught.value.safe_message


def test_table_exclusions_read_no_dicom(cohort, monkeypatch):
    uri = cohort({"dicom": "a"}, {"dicom": "b", "skull_infiltration": "yes"})
    seen = []
    original = FolderStore.read_head
    monkeypatch.setattr(
        FolderStore, "read_head", lambda self, name, size: seen.append(name) or original(self, name, size)
    )
    run(uri)
    assert any(name.startswith("a/") for name in seen)
    assert not any(name.startswith("b/") for name in seen)


def test_one_slice_of_pixels_is_read_per_tumour_and_a_few_per_series(cohort, monkeypatch):
    uri = cohort({"dicom": "a"})
    seen = []
    original = FolderStore.read
    monkeypatch.setattr(FolderStore, "read", lambda self, name: seen.append(name) or original(self, name))
    run(uri)
    assert 1 < sum(name.startswith("a/CT/") for name in seen) <= 1 + 1 + COMPARED_SLICES


def test_a_failing_storage_stops_the_run_with_a_storage_error(cohort, monkeypatch):
    uri = cohort(*({"dicom": name} for name in "abc"))

    def fail(self, name, size):
        if name.startswith("b"):
            raise StorageError("S3_UNREACHABLE", "the S3 server does not answer")
        return original(self, name, size)

    original = FolderStore.read_head
    monkeypatch.setattr(FolderStore, "read_head", fail)
    with pytest.raises(StorageError):
        run(uri)


def test_synthetic_cohorts_are_labelled(cohort):
    uri = cohort({"dicom": "a", "synthetic": "yes"}, {"dicom": "b", "synthetic": "no"})
    assert not read_cohort(uri).is_synthetic
    assert run(uri).synthetic
    assert read_cohort(cohort({"dicom": "a", "synthetic": "yes"})).is_synthetic


def test_memory_does_not_hold_all_dicom_files_at_once(cohort, tmp_path, make_study):
    for i in range(4):
        study = make_study(shape=(512, 512), spacing=(0.125, 0.125), centre=(3.0 * i - 6, 9.0 - 5 * i))
        study.of_patient(f"{i}").write(tmp_path / f"p{i}")
    uri = cohort(*({"dicom": f"p{i}"} for i in range(4)))
    tracemalloc.start()
    run(uri, workers=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6  # the four series hold 19 MB of pixels; one slice is 0.5 MB, in float and twice in between


def test_every_code_of_the_flow_has_a_reason():
    lines = flow_lines([*REASONS, "NO_CT", "A_CODE_OF_TOMORROW"])
    assert [line.code for line in lines] == [*REASONS, "A_CODE_OF_TOMORROW"]
    assert {line.code: line.tumours for line in lines}["NO_CT"] == 2


# --- malicious files ---


def many_items(study):
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 160_000
    files = study.files()
    return files | {"RS0.dcm": files["RS0.dcm"] + struct.pack("<HH2sHL", 0x3006, 0x0039, b"SQ", 0, len(items)) + items}


def many_numbers(study):
    study.rtstruct.ROIContourSequence[0].ContourSequence[0].ContourData = ["1"] * 3 * 501
    return study.files()


def absurd_spacing(study):
    for ct in study.cts:
        ct.PixelSpacing = ["1e-320", "1e-320"]
    return study.files()


def palette(study):
    for ct in study.cts:
        ct.PhotometricInterpretation = "PALETTE COLOR"
    return study.files()


@pytest.mark.filterwarnings("ignore:.*PixelSpacing|Value:UserWarning")
@pytest.mark.parametrize(
    ("poison", "code"),
    [
        (many_items, "DICOM_TOO_LARGE"),
        (many_numbers, "CONTOURS_TOO_MANY"),
        (absurd_spacing, "DICOM_DAMAGED"),
        (palette, "NOT_HU"),
    ],
)
def test_a_malicious_patient_excludes_only_its_own_tumour(cohort, tmp_path, make_study, monkeypatch, poison, code):
    monkeypatch.setattr("components.imaging.contours.MAX_POINTS", 500)
    uri = cohort(*({"dicom": name} for name in "abc"))
    before = run(uri)
    files = poison(make_study().of_patient("b"))
    for name, data in files.items():
        (tmp_path / "b" / name).write_bytes(data)
    after = run(uri)
    assert counts(after) == {code: 1}
    left = np.isin(before.tumours.tumour, after.tumours.tumour)
    assert left.sum() == 2
    assert (after.crops == before.crops[left]).all()
    source = FolderStore(tmp_path)
    if code == "DICOM_TOO_LARGE":
        with pytest.raises(TumourError, match="DICOM_TOO_LARGE"):
            gtv.inspect_gtvs(source, "b", SETTINGS, roi="GTV")
        (listing,) = list_rtstructs(source, "b")
        assert "elements and items" in listing.problem
