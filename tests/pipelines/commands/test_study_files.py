"""Part of a study is sent, under neutral names, and gets the answer that the whole study would get."""

import dataclasses
import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.common.errors import InputError, SrsError
from components.common.settings import PreprocessSettings
from components.common.store.memory import MemoryStore
from components.common.store.zip import ZipSource
from components.imaging.gtv import find_gtvs
from pipelines.commands.study_files import Wanted, pack_study
from tests.serving.studies import study_files

SETTINGS = PreprocessSettings()
WANTED = Wanted(settings=SETTINGS)


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def names(packed: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(packed)).namelist()


def preprocessed(source, of: PreprocessSettings = SETTINGS, **chosen) -> tuple:
    """The result of preprocessing a study: its candidates and their crops, or the reason why there are none."""
    try:
        found = find_gtvs(source, "", of, **chosen)
    except SrsError as error:
        return (error.code, error.safe_message)
    crops = [None if one.crop is None else one.crop.tobytes() for one in found]
    return ([one.to_dict() for one in found], crops)


@pytest.fixture(scope="module")
def long_study():
    return study_files(slices=60)


def test_a_long_study_is_sent_in_part_and_answered_as_a_whole(tmp_path, long_study):
    packed = pack_study(written(tmp_path / "Doe^Jane", long_study), WANTED)
    assert 1 + 9 < len(names(packed)) < 35
    assert preprocessed(ZipSource(packed)) == preprocessed(MemoryStore(long_study))


def test_a_zip_is_treated_as_its_folder(tmp_path, long_study):
    inside = {f"Doe Jane/CT {name}": data for name, data in long_study.items()}
    (tmp_path / "Doe.zip").write_bytes(zipped(inside))
    packed = pack_study(tmp_path / "Doe.zip", WANTED)
    assert packed == pack_study(written(tmp_path / "folder", long_study), WANTED)
    assert {info.date_time for info in zipfile.ZipFile(io.BytesIO(packed)).infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert not any("Doe" in name for name in names(packed))
    assert b"Doe Jane" not in packed


def test_without_the_predictor_s_settings_all_is_sent(tmp_path, long_study):
    folder = written(tmp_path, long_study)
    assert len(names(pack_study(folder))) == len(long_study)
    assert all(name.removesuffix(".dcm").isdigit() for name in names(pack_study(folder)))


def test_the_predictor_s_own_rule_for_names_decides(tmp_path):
    files = study_files(slices=60, rois=("GTV", "Lesion 1"))
    of = dataclasses.replace(SETTINGS, roi_pattern="Lesion.*")
    packed = pack_study(written(tmp_path, files), Wanted(settings=of))
    assert len(names(packed)) < 35
    assert preprocessed(ZipSource(packed), of) == preprocessed(MemoryStore(files), of)
    assert preprocessed(ZipSource(packed), of)[0][0]["roi_name"] == "Lesion 1"


#: Ways in which a folder differs from one clean study; each takes the study's files and returns others.
ODDITIES = {
    "as it is": lambda files, _: files,
    "slices lost": lambda files, rng: {n: d for n, d in files.items() if n == "RS.dcm" or rng.random() > 0.1},
    "every other slice lost": lambda files, _: {n: d for n, d in files.items() if n == "RS.dcm" or int(n[2:4]) % 2},
    "copies": lambda files, rng: {**files, **{f"copy/{n}": d for n, d in files.items() if rng.random() > 0.5}},
    "another series": lambda files, _: {**files, **{f"b/{n}": d for n, d in study_files().items() if n != "RS.dcm"}},
    "another plan": lambda files, _: {**files, "RS2.dcm": study_files()["RS.dcm"]},
    "damaged files": lambda files, rng: {n: d[:300] if rng.random() < 0.1 else d for n, d in files.items()},
    "other files": lambda files, _: {**files, "notes.txt": b"seen", "DICOMDIR": b"", "._x": b"\0\5\x16\7" * 50},
    "no RTSTRUCT": lambda files, _: {n: d for n, d in files.items() if n != "RS.dcm"},
    "first slices only": lambda files, _: {n: d for n, d in files.items() if n == "RS.dcm" or n < "CT08"},
}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    odd=st.sampled_from(list(ODDITIES)),
    radius=st.sampled_from([3.0, 8.0, 14.0]),
    rois=st.sampled_from([("GTV",), ("GTV1", "PTV", "GTV2"), ("Brain",), ("GTV", "GTV")]),
    roi=st.sampled_from(["", "GTV2", "Brain", "absent"]),
    seed=st.integers(0, 99),
)
def test_the_files_sent_get_the_answer_of_all_files(tmp_path, odd, radius, rois, roi, seed):
    whole = study_files(radius, rois, slices=48)
    files = ODDITIES[odd](whole, np.random.default_rng(seed))
    shutil.rmtree(tmp_path / "study", ignore_errors=True)
    packed = pack_study(written(tmp_path / "study", files), dataclasses.replace(WANTED, roi=roi))
    assert preprocessed(ZipSource(packed), roi=roi) == preprocessed(MemoryStore(files), roi=roi)


def test_the_requested_rtstruct_is_used(tmp_path, long_study):
    import pydicom

    other = study_files(slices=60)["RS.dcm"]
    uid = str(pydicom.dcmread(io.BytesIO(long_study["RS.dcm"])).SOPInstanceUID)
    files = {**long_study, "RS2.dcm": other}
    packed = pack_study(written(tmp_path, files), dataclasses.replace(WANTED, rtstruct_uid=uid))
    assert len(names(packed)) < 35
    assert preprocessed(ZipSource(packed), rtstruct_uid=uid) == preprocessed(MemoryStore(files), rtstruct_uid=uid)


def refusal(path: Path, **limits) -> InputError:
    with pytest.raises(InputError) as refused:
        pack_study(path, dataclasses.replace(WANTED, **limits))
    return refused.value


def test_a_study_too_large_is_refused_before_it_is_sent_with_size_and_remedy(tmp_path, long_study):
    folder = written(tmp_path / "study", long_study)
    error = refusal(folder, max_bytes=2**16)
    assert error.code == "BODY_TOO_LARGE"
    assert "0.0625 MiB" in error.safe_message
    assert "--roi" in error.hint
    assert "--roi" not in refusal(folder, max_bytes=2**16, roi="GTV").hint
    (tmp_path / "damaged.zip").write_bytes(zipped(long_study)[:-30])
    assert refusal(tmp_path / "damaged.zip", max_bytes=2**16).code == "BODY_TOO_LARGE"


def test_a_faulty_study_too_large_to_send_is_reported_with_its_fault(tmp_path, long_study):
    files = {name: data for name, data in long_study.items() if name != "RS.dcm"}
    assert refusal(written(tmp_path, files), max_bytes=2**16).code == "NO_RTSTRUCT"


def test_other_files_go_as_they_are(tmp_path, long_study):
    for name, data in (("one.dcm", long_study["RS.dcm"]), ("study.zip", zipped(long_study)[:-30]), ("a.tar", b"x")):
        (tmp_path / name).write_bytes(data)
        assert pack_study(tmp_path / name, WANTED) == data


def test_an_empty_or_missing_study_is_reported(tmp_path):
    assert refusal(tmp_path).code == "STUDY_EMPTY"
    assert refusal(tmp_path / "absent").code == "STUDY_MISSING"
    assert refusal(tmp_path / ("long" * 100)).code == "STUDY_MISSING"
    (tmp_path / "empty.zip").touch()
    error = refusal(tmp_path / "empty.zip")
    assert (error.code, "empty.zip is empty" in error.safe_message) == ("STUDY_EMPTY", True)
    assert "folder of the CT slices and the RTSTRUCT, or a .zip" in error.hint


@pytest.mark.parametrize("name", ["Anna Muster.zip", "CT.NII.GZ", "2024-05-01.tar.gz"])
def test_a_folder_without_a_study_is_reported_without_file_names(tmp_path, long_study, name):
    folder = written(tmp_path, {name: zipped(long_study), "note of Anna.txt": b"x"})
    packed = pack_study(folder, WANTED)
    assert preprocessed(ZipSource(packed)) == preprocessed(
        MemoryStore({name: zipped(long_study), "note of Anna.txt": b"x"})
    )
    assert not any("nna" in one or "2024" in one for one in names(packed))
