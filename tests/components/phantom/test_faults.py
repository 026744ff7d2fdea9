"""A cohort without faults is the one that was written before there were any, and impossible faults are refused."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from components.common.errors import InputError
from components.common.settings import PreprocessSettings
from components.phantom.faults import MOST_CENTRES, Faults
from components.phantom.phantom import COLUMNS, cohort_facts, write_cohort
from components.phantom.plan import check_numbers, plan_cohort
from components.preprocess.cohort import preprocess_cohort
from tests.components.phantom.written import Cohort

#: What the generator wrote before it knew faults (commit 3e49d37): the functions below, applied to conftest's cohort.
EARLIER_TABLE = "bdc3c82cfe94597fd02bd80a409c522655e70fd80b39975f01e2ad9df9030272"
EARLIER_GEOMETRY = "6ce2a8c52bbcd1f3c6a07d9de7904f4201572ac3a7b3e4d5445cf24cdc40220a"
EARLIER_SUMS = [
    333875884, 575737963, 1104463417, 461407702, 141858124, -1284627871, 347408999, 213680288, 1411966905, 1334048118,
    -1148123231, 1819002384, 710939077, 209879485, -646471129, 314700026, 392939639, 671710927, 536258736, 876388227,
    898732921, 210443834, 551852923, -921976818, 1244322854, -871664771, 224311215,
]  # fmt: skip
#: Of a sum over all voxels of a series. A digest would depend on the processor, which may round some voxel otherwise.
TOLERANCE = 300


def table_digest(rows):
    """The UIDs depend on the generator's code."""
    without = [{name: cell for name, cell in row.items() if name != "rtstruct_uid"} for row in rows]
    return hashlib.sha256(json.dumps(without).encode()).hexdigest()


def geometry_digest(studies):
    """Planes, scanners and contours."""
    keywords = (
        "Rows",
        "PixelSpacing",
        "SliceThickness",
        "KVP",
        "ManufacturerModelName",
        "SeriesDescription",
        "StudyDate",
    )
    facts = []
    for row, images, rtstruct in studies:
        first = next(iter(images.values()))
        facts += [row["dicom"], len(images), *(str(first[keyword].value) for keyword in keywords)]
        facts += [str(image.ImagePositionPatient) for image in images.values()]
        facts += [roi.ROIName for roi in rtstruct.StructureSetROISequence]
        facts += [str(one.ContourData) for roi in rtstruct.ROIContourSequence for one in roi.ContourSequence]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def sums(studies):
    return [int(sum(image.pixel_array.sum(dtype=np.int64) for image in images.values())) for _, images, _ in studies]


def test_without_faults_a_cohort_is_the_one_of_before(cohort, studies):
    assert table_digest(cohort.rows) == EARLIER_TABLE
    assert geometry_digest(studies) == EARLIER_GEOMETRY
    np.testing.assert_allclose(sums(studies), EARLIER_SUMS, rtol=0, atol=TOLERANCE)


def test_all_patients_of_a_cohort_without_faults_got_contrast_agent(studies):
    for _, images, _ in studies:
        first = next(iter(images.values()))
        assert first.ContrastBolusAgent
        assert first.KVP == 120
        assert first.ConvolutionKernel == "Standard"


FAULTY = Faults(patient_effect=1.0, centres=3, centre_effect=0.5, contrast_confounder=1.0)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    return Cohort(
        write_cohort(tmp_path_factory.mktemp("faulty") / "cohort", tumours=10, patients=8, faults=FAULTY).parent
    )


@pytest.fixture(scope="module")
def planned():
    return {f"dicom/{patient.folder}": patient for patient in plan_cohort(1, 10, 8, 1.0, FAULTY)}


def test_the_table_names_the_centre_of_every_patient(faulty, planned):
    assert tuple(faulty.rows[0]) == (*COLUMNS, "centre")
    assert {row["centre"] for row in faulty.rows} == {"centre_1", "centre_2", "centre_3"}
    for row in faulty.rows:
        assert row["centre"] == f"centre_{planned[row['dicom']].conditions.centre}"


def test_a_faulty_cohort_is_preprocessed_as_any_other(faulty):
    dataset = preprocess_cohort(str(faulty.folder / "cohort.csv"), PreprocessSettings(), b"k" * 32)
    assert (dataset.flow.used, dataset.flow.used_patients) == (10, 8)


def test_headers_say_how_each_patient_was_examined(faulty, planned):
    institutions, found = {}, set()
    for row in faulty.rows:
        conditions = planned[row["dicom"]].conditions
        images, rtstruct = faulty.study(row)
        for image in images.values():
            assert ("ContrastBolusAgent" in image) == conditions.contrast_agent
            assert (" CE " in image.SeriesDescription) == conditions.contrast_agent
            assert conditions.protocol.tube_kv == image.KVP
            assert image.ConvolutionKernel == conditions.protocol.kernel.name
            assert conditions.protocol.model is None or image.ManufacturerModelName == conditions.protocol.model.name
        institutions.setdefault(row["centre"], set()).add(image.InstitutionName)
        assert rtstruct.InstitutionName == image.InstitutionName
        found.add((conditions.contrast_agent, conditions.protocol.tube_kv))
    assert len(set.union(*institutions.values())) == len(institutions) == 3
    assert {agent for agent, _ in found} == {True, False}
    assert len({voltage for _, voltage in found}) > 1


def test_faults_are_part_of_what_a_cohort_was_made_from():
    facts = [
        cohort_facts(1, 10, 8, 1.0, faults) for faults in (Faults(), FAULTY, dataclasses.replace(FAULTY, centres=4))
    ]
    assert len({json.dumps(fact) for fact in facts}) == 3
    whole = Faults(patient_effect=1, centres=3, centre_effect=0.5, contrast_confounder=1)
    assert json.dumps(cohort_facts(1, 10, 8, 1, whole)) == json.dumps(facts[1])


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        ({"patient_effect": -0.1}, "patient_effect -0.1: not from 0"),
        ({"patient_effect": 1.1}, "patient_effect 1.1"),
        ({"patient_effect": float("nan")}, "patient_effect nan"),
        ({"centres": 0}, "0 centres"),
        ({"centres": MOST_CENTRES + 1}, "10 centres: not from 1 to 9"),
        ({"centres": 9}, "9 centres: more than the 8 patients"),
        ({"centres": 2, "centre_effect": 1.5}, "centre_effect 1.5: not from 0"),
        ({"centre_effect": 0.5}, "centre_effect 0.5: needs at least 2 centres"),
        ({"contrast_confounder": 2}, "contrast_confounder 2"),
    ],
)
def test_refuses_impossible_faults(faults, says):
    with pytest.raises(InputError, match=says) as caught:
        check_numbers(1, 10, 8, 1.0, Faults(**faults))
    assert caught.value.code == "PHANTOM_INVALID"
    assert len(caught.value.safe_message.splitlines()) == 2


def test_names_impossible_faults_with_all_other_problems_at_once():
    with pytest.raises(InputError, match=r"(?s)seed.*signal.*patient_effect.*contrast_confounder.*centres"):
        check_numbers(-1, 10, 8, 11, Faults(patient_effect=2, centres=0, contrast_confounder=-1))


@pytest.mark.parametrize("faults", [Faults(1.0, 9, 1.0, 1.0), Faults(centres=8), Faults(1.0, 1, 0.0, 1.0)])
def test_the_largest_faults_are_allowed(faults):
    check_numbers(1, 10, 9, 1.0, faults)
