"""Cutting in another process gives the same result as in this one, and always ends."""

import asyncio
import dataclasses
import threading

import numpy as np
import pytest

from components.common.contained import Stopped
from components.common.errors import InputError
from components.common.limits import LARGE_STUDIES_BYTES
from components.common.settings import PreprocessSettings
from components.imaging.crop import ImageDefinition
from components.model.runtime import Ensemble
from serving import cutting, predictor
from serving.cutting import RefusedAt, cut_contained
from serving.dicom import Cut, StudyRefused, cut_study
from serving.payload import Query, Study
from serving.predictor import Job, Predictor
from tests.components.model.bundles import draw_crops
from tests.serving import studies
from tests.serving.studies import study_files, study_zip

SETTINGS, DEFINITION = PreprocessSettings(), ImageDefinition()


def words(error):
    return error.code, error.safe_message, error.hint


def plain(cut: Cut) -> dict:
    """A cut's fields in a form that can be compared."""
    fields = {field.name: getattr(cut, field.name) for field in dataclasses.fields(Cut)}
    return {**fields, "crop": None if cut.crop is None else cut.crop.tolist(), "refusal": words(cut.refusal or NOTHING)}


NOTHING = InputError("", "")


def test_cuts_are_those_of_cut_study_for_zips_and_files():
    studies = [
        Study(zipped=study_zip(rois=("GTV 1", "GTV 2"))),
        Study(files=tuple(study_files(radius_mm=6).values())),
        Study(zipped=study_zip(rois=("GTV 1", "GTV 2")), roi="GTV 2"),
    ]
    cuts = cut_contained(studies, SETTINGS, DEFINITION)
    expected = [cut_study(study, SETTINGS, DEFINITION) for study in studies]
    assert [[plain(cut) for cut in one] for one in cuts] == [[plain(cut) for cut in one] for one in expected]
    assert [len(one) for one in cuts] == [2, 1, 1]


@pytest.mark.parametrize(
    "study",
    [
        Study(zipped=study_zip(), roi="Hippocampus"),  # with structures to choose from
        Study(files=tuple(data for name, data in study_files().items() if name != "CT06.dcm")),  # each GTV's reason
        Study(zipped=b"PK\5\6" + bytes(18)),  # no study at all
        Study(zipped=b"PK\3\4 and no more"),
    ],
)
def test_a_refusal_is_that_of_cut_study_and_names_its_position(study):
    with pytest.raises(RefusedAt) as refused:
        cut_contained([Study(zipped=study_zip()), study, Study(zipped=study_zip())], SETTINGS, DEFINITION)
    with pytest.raises(InputError) as expected:
        cut_study(study, SETTINGS, DEFINITION)
    found = refused.value.error
    assert refused.value.index == 1
    assert words(found) == words(expected.value)
    assert isinstance(found, StudyRefused) == isinstance(expected.value, StudyRefused)
    if isinstance(found, StudyRefused):
        assert list(found.offer) == list(expected.value.offer)
        assert [plain(cut) for cut in found.cuts] == [plain(cut) for cut in expected.value.cuts]


def too_costly(study):
    with pytest.raises(InputError) as error:
        cut_contained([study], SETTINGS, DEFINITION)
    assert error.value.code == "STUDY_TOO_COSTLY"
    return error.value.safe_message


def test_studies_that_take_too_long_are_refused_and_the_limit_is_named(monkeypatch):
    monkeypatch.setattr(cutting, "STUDY_SECONDS", 0.004)
    monkeypatch.setattr(cutting, "STUDY_BYTES_PER_SECOND", 2**40)
    assert "0.004 s" in too_costly(Study(zipped=study_zip()))


def test_studies_that_take_too_much_memory_are_refused_and_the_limit_is_named(monkeypatch):
    """Slices of 16 MB as HU, more than a worker still holds from earlier studies."""
    monkeypatch.setattr(studies, "SIDE_PX", 2048)
    monkeypatch.setattr(studies, "SPACING_MM", 0.04)
    files = studies.study_files(slices=9)
    monkeypatch.setattr(cutting, "STUDY_BYTES", 2**20)
    assert "1 MiB" in too_costly(Study(files=tuple(files.values())))


def test_a_study_that_crashes_the_reader_is_damaged(monkeypatch):
    def crash(*_):
        raise Stopped("crash")

    monkeypatch.setattr(cutting, "call", crash)
    with pytest.raises(InputError, match="DICOM_DAMAGED"):
        cut_contained([Study(zipped=study_zip())], SETTINGS, DEFINITION)


def test_crops_are_answered_while_every_cutting_process_is_busy(bundle, monkeypatch):
    ended = threading.Event()

    def wait(studies, *_):
        ended.wait(30)
        return [[] for _ in studies]

    monkeypatch.setattr(predictor, "cut_contained", wait)
    model = Predictor("srs-response", Ensemble.open(bundle, threads=1), "1", workers=1)
    crop = draw_crops(1, np.random.default_rng(0))[0]

    async def both():
        studies = [asyncio.create_task(model.predict(job(Study(zipped=b"")))) for _ in range(3)]
        await asyncio.sleep(0.05)
        answered = await asyncio.wait_for(model.predict(job(crop)), 5)
        assert not any(task.done() for task in studies)
        ended.set()
        await asyncio.gather(*studies)
        return answered

    result = asyncio.run(both())
    assert len(result.tumours) == 1


@pytest.mark.parametrize(("bytes_sent", "waits"), [(LARGE_STUDIES_BYTES - 1, False), (LARGE_STUDIES_BYTES, True)])
def test_large_studies_are_cut_one_after_the_other_and_small_ones_beside_them(bundle, monkeypatch, bytes_sent, waits):
    ended, at_work = threading.Event(), []

    def wait(studies, *_):
        at_work.append(len(studies[0].zipped))
        if len(studies[0].zipped) == LARGE_STUDIES_BYTES:
            ended.wait(30)
        return [[] for _ in studies]

    monkeypatch.setattr(predictor, "cut_contained", wait)
    model = Predictor("srs-response", Ensemble.open(bundle, threads=1), "1", workers=1)

    async def both():
        first = asyncio.create_task(model.predict(job(Study(zipped=bytes(LARGE_STUDIES_BYTES)))))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(model.predict(job(Study(zipped=bytes(bytes_sent)))))
        await asyncio.sleep(0.5)
        done = second.done()
        ended.set()
        await asyncio.gather(first, second)
        return done

    assert asyncio.run(both()) is not waits


def job(*instances) -> Job:
    return Job(lambda: Query(tuple(instances)), lambda result, *_: result)


def test_answers_are_in_the_order_of_the_instances(bundle):
    model = Predictor("srs-response", Ensemble.open(bundle, threads=1), "1", workers=1)
    crops = draw_crops(2, np.random.default_rng(0))
    mixed = (crops[0], Study(zipped=study_zip()), crops[1], Study(zipped=study_zip(rois=("GTV 1", "GTV 2"))))
    result = asyncio.run(model.predict(job(*mixed)))
    assert [tumour.instance for tumour in result.tumours] == [0, 1, 2, 3, 3]
    assert [tumour.roi_name for tumour in result.tumours] == ["", "GTV", "", "GTV 1", "GTV 2"]
