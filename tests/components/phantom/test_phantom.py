import hashlib
from pathlib import Path

import numpy as np
import pydicom
import pytest

from components.common.errors import InputError
from components.common.settings import PreprocessSettings
from components.phantom.phantom import COLUMNS, golden_case, write_cohort, write_unseen_patient
from components.preprocess.cohort import preprocess_cohort

SMALL = {"seed": 5, "tumours": 4, "patients": 3}


def digests(folder: Path) -> dict[str, tuple[str, float]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime)
        for path in files
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "cohort"
    write_cohort(folder, **SMALL)
    return folder


def test_same_arguments_give_the_same_bytes_and_file_times(small, tmp_path):
    reported = []
    table = write_cohort(tmp_path / "again", **SMALL, progress=lambda *step: reported.append(step))
    assert digests(table.parent) == digests(small)
    assert [done for done, _, _ in reported] == list(range(reported[0][1] + 1))


@pytest.mark.parametrize("change", [{"seed": 6}, {"signal": 0.0}])
def test_other_arguments_give_other_uids(tmp_path, change):
    first = write_unseen_patient(tmp_path / "first", seed=5)
    other = write_unseen_patient(tmp_path / "other", **{"seed": 5, **change})

    def uids(folder):
        return {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in folder.iterdir()}

    assert not uids(first) & uids(other)


def test_columns_are_those_of_the_cohort_table(cohort):
    assert tuple(cohort.rows[0]) == COLUMNS
    assert {row["synthetic"] for row in cohort.rows} == {"yes"}
    assert len({row["tumour_id"] for row in cohort.rows}) == len(cohort.rows)


def test_preprocessing_keeps_all_eligible_tumours_and_finds_every_exclusion(cohort):
    dataset = preprocess_cohort(str(cohort.folder / "cohort.csv"), PreprocessSettings(), b"k" * 32)
    assert dataset.synthetic
    assert (dataset.flow.used, dataset.flow.used_patients, dataset.flow.unlisted_gtvs) == (24, 20, 0)
    assert dataset.tumours.label.value_counts().to_dict() == {0: 12, 1: 12}
    assert len(dataset.flow.exclusions) == 7
    assert all(line.tumours >= 1 for line in dataset.flow.exclusions)
    assert set(dataset.tumours.match_level) == {"uid"}


def test_a_phantom_is_replaced_whole(tmp_path):
    folder = tmp_path / "unseen"
    write_unseen_patient(folder)
    before = digests(folder)
    (folder / "dicom" / "left_over").write_text("from an earlier phantom")
    write_unseen_patient(folder)
    assert digests(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["unseen"]


def test_an_empty_folder_is_used(tmp_path):
    assert write_unseen_patient(tmp_path).is_dir()


def test_refuses_to_replace_a_folder_with_other_files(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError) as caught:
        write_cohort(tmp_path, **SMALL)
    assert caught.value.code == "FOLDER_FOREIGN"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_refuses_a_file_in_the_folders_place(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError) as caught:
            write_cohort(place, **SMALL)
        assert caught.value.code in ("FOLDER_FOREIGN", "FOLDER_UNWRITABLE")


def test_a_failed_run_leaves_no_files(tmp_path):
    def fail(*_):
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        write_cohort(tmp_path / "cohort", **SMALL, progress=fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("numbers", "word"),
    [
        ({"tumours": 3, "patients": 2}, "3 tumours"),
        ({"tumours": 20, "patients": 21}, "21 patients"),
        ({"tumours": 21, "patients": 4}, "at most 5"),
        ({"patients": 0}, "0 patients"),
        ({"signal": -0.5}, "signal"),
        ({"signal": float("nan")}, "signal"),
        ({"seed": -1}, "seed"),
    ],
)
def test_refuses_impossible_numbers_with_an_error(tmp_path, numbers, word):
    with pytest.raises(InputError, match=word) as caught:
        write_cohort(tmp_path / "cohort", **numbers)
    assert caught.value.code == "PHANTOM_INVALID"
    assert caught.value.exit_code == 2
    assert not (tmp_path / "cohort").exists()


def test_names_all_impossible_numbers_at_once(tmp_path):
    with pytest.raises(InputError, match=r"(?s)seed.*tumours.*signal"):
        write_cohort(tmp_path / "cohort", seed=-1, tumours=1, patients=1, signal=11)


def test_unseen_patient_is_in_no_cohort_and_has_one_gtv(cohort, tmp_path):
    folder = write_unseen_patient(tmp_path / "unseen", seed=3)
    datasets = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    assert len({dataset.PatientID for dataset in datasets}) == 1
    assert datasets[0].PatientID not in {row["patient_id"] for row in cohort.rows}
    rtstruct = next(dataset for dataset in datasets if dataset.Modality == "RTSTRUCT")
    assert sum(roi.ROIName.startswith("GTV") for roi in rtstruct.StructureSetROISequence) == 1


def test_golden_case_is_a_bright_lesion_in_a_head():
    case, again, other = golden_case(), golden_case(), golden_case(1)
    assert case.slice_hu.dtype == np.float32
    assert case.contour_xy_mm.dtype == np.float64
    np.testing.assert_array_equal(case.slice_hu, again.slice_hu)
    assert not np.array_equal(case.slice_hu, other.slice_hu)
    size = np.array(case.slice_hu.shape[::-1])
    corner = np.array(case.origin_xy_mm) + (size - 1) * [case.column_step_xy_mm[0], case.row_step_xy_mm[1]]
    assert (case.contour_xy_mm > case.origin_xy_mm).all()
    assert (case.contour_xy_mm < corner).all()
    assert case.slice_hu.min() < -900
    assert case.slice_hu.max() > 700
