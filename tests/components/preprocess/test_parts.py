"""An interrupted run resumes: finished patients are not read again, and stored parts hold no identity."""

import re
import zipfile

import numpy as np
import pytest

from components.common.errors import StorageError
from components.common.settings import PreprocessSettings
from components.common.store.folder import FolderStore
from components.common.store.sealed import SealedStore
from components.phantom.phantom import write_cohort
from components.preprocess import patients
from components.preprocess.cohort import preprocess_cohort
from components.preprocess.distinct import COMPARED_SLICES
from components.preprocess.parts import PartStore

SETTINGS = PreprocessSettings()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("phantom") / "cohort", tumours=6, patients=5).parent


@pytest.fixture
def reads(monkeypatch):
    """Names of all DICOM files that were opened."""
    names = []
    for method in ("read", "read_head"):
        original = getattr(FolderStore, method)

        def counted(self, name, *args, original=original):
            names.extend([name] if not name.endswith((".csv", ".zip")) else [])
            return original(self, name, *args)

        monkeypatch.setattr(FolderStore, method, counted)
    return names


def run(folder, place, key=b"key", settings=SETTINGS, **options):
    return preprocess_cohort(str(folder), settings, key, store=PartStore(SealedStore(FolderStore(place))), **options)


def same(one, other):
    np.testing.assert_array_equal(one.crops, other.crops)
    assert one.tumours.equals(other.tumours)
    assert one.flow == other.flow


def test_crops_cut_by_other_code_are_cut_again(folder, tmp_path, reads, monkeypatch):
    run(folder, tmp_path)
    reads.clear()
    monkeypatch.setattr(patients, "code_digest", lambda: "of another release")
    run(folder, tmp_path)
    assert reads


def test_a_second_run_reads_no_dicom_and_gives_the_same_dataset(folder, tmp_path, reads):
    first = run(folder, tmp_path)
    assert reads
    reads.clear()
    reported = []
    second = run(folder, tmp_path, progress=lambda *what: reported.append(what))
    assert not reads
    same(first, second)
    assert f"{reported[-1][1]} patients read earlier" in reported[-1][2]
    same(first, preprocess_cohort(str(folder), SETTINGS, b"key"))


def test_an_interrupted_run_resumes_where_it_stopped(folder, tmp_path, reads, monkeypatch):
    original, left = FolderStore.read, [1 + 1 + 1 + COMPARED_SLICES]  # enough for one patient, not for two

    def failing(self, name):
        if not name.endswith(".csv"):
            left[0] -= 1
            if left[0] < 0:
                raise StorageError("S3_UNREACHABLE", "gone")
        return original(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "read", failing)
        with pytest.raises(StorageError):
            run(folder, tmp_path, workers=1)
    kept = len(list(tmp_path.rglob("*.zip")))
    assert kept
    assert not list(tmp_path.rglob(".partial-*"))
    reads.clear()
    again = run(folder, tmp_path)
    read_again = {name.rpartition("/")[0] for name in reads}
    reads.clear()
    same(again, preprocess_cohort(str(folder), SETTINGS, b"key"))
    assert len(read_again) == len({name.rpartition("/")[0] for name in reads}) - kept


def test_a_change_of_settings_key_or_files_is_read_again(folder, tmp_path, reads):
    run(folder, tmp_path)
    for other in ({"key": b"other"}, {"settings": PreprocessSettings(slice_rule="largest")}):
        reads.clear()
        run(folder, tmp_path, **other)
        assert reads
    changed = next(folder.rglob("*.dcm"))
    changed.write_bytes(changed.read_bytes() + b"\0\0")
    reads.clear()
    run(folder, tmp_path)
    assert len({name.rpartition("/")[0] for name in reads}) == 1


def test_a_damaged_part_is_read_again(folder, tmp_path, reads):
    first = run(folder, tmp_path)
    damaged = next(tmp_path.rglob("*.zip"))
    damaged.write_bytes(damaged.read_bytes()[:-100])
    reads.clear()
    same(first, run(folder, tmp_path))
    assert reads


def test_stored_parts_hold_no_identity(folder, tmp_path):
    dataset = run(folder, tmp_path)
    for path in tmp_path.rglob("*.zip"):
        assert re.fullmatch(r"[0-9a-f]{64}", path.stem)
        with zipfile.ZipFile(path) as archive:
            assert set(archive.namelist()) == {"part.json", "crops.npy"}
            text = archive.read("part.json").decode()
        assert not re.search(r"\d+\.\d+\.\d+\.\d+|GTV", text)
        assert not any(name in text for name in dataset.tumours.patient)
