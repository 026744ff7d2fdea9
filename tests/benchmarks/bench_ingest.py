"""Preprocessing by ranged reads against reading whole files: bytes and time, on a real S3 server and on a folder.

Run ``python tests/benchmarks/bench_ingest.py`` from the repository; it prints a table and writes
``runs/bench/ingest.json``. The plain way reads every file of every series in full, one after the other, into HU, then
finds and cuts the GTV by the same code. The series have 150 slices of 512 x 512. Three places: the server on this very
machine, where a request costs nothing but its processor time; the same server behind a proxy that holds up what it
passes on by 2.5 ms each way, as a network does; and a folder, read from the disk and not from the page cache.
``--patients`` and ``--rounds`` set how much is read.
"""

import argparse
import csv
import io
import os
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, pixel_array
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from components.common.settings import PreprocessSettings
from components.common.store.bucket import BucketStore
from components.common.store.folder import FolderStore
from components.common.store.memory import MemoryStore
from components.imaging.crop import ImageDefinition
from components.imaging.ct import is_ct
from components.imaging.elements import Header
from components.imaging.measuring import measure
from components.imaging.plan import Folder, open_plan
from components.imaging.roi import gtvs_of, roi_rule
from components.preprocess.cohort import preprocess_cohort
from components.preprocess.columns import COLUMNS
from components.preprocess.deidentify import Pseudonymiser
from components.preprocess.locating import open_cohort
from components.preprocess.table import parse_table
from tests.benchmarks.harness import s3_places, timed_in_turn, write_results

SLICES, SIDE, PIXEL_MM, STEP_MM = 150, 512, 0.7, 1.25
SETTINGS, KEY = PreprocessSettings(), b"bench"


def write_cohort(folder: Path, patients: int) -> None:
    """A cohort with one folder per patient: noise in a head, a round GTV, and the outlines of head and PTV."""
    cells = {
        "follow_up_days": "60", "response": "PR", "n_brain_metastases": "1", "primary_brain_cancer": "no",
        "whole_brain_radiotherapy": "no", "skull_infiltration": "no", "synthetic": "yes",
    }  # fmt: skip
    with (folder / "cohort.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(COLUMNS), restval="")
        table.writeheader()
        for number in range(patients):
            write_patient(folder / f"p{number}", np.random.default_rng(number))
            names = {"tumour_id": f"t{number}", "patient_id": f"p{number}", "dicom": f"p{number}"}
            table.writerow({**cells, **names})


def write_patient(folder: Path, rng: np.random.Generator) -> None:
    """150 CT slices with a header as planning scanners write it, and their RTSTRUCT."""
    folder.mkdir()
    series, frame, study = generate_uid(), generate_uid(), generate_uid()
    noise = rng.normal(30, 20, (SIDE, SIDE))
    y, x = (np.indices((SIDE, SIDE)) - SIDE / 2) * PIXEL_MM
    head = np.where(np.hypot(x, y) < 90, noise, -1000)
    uids = []
    for index in range(SLICES):
        ct = _new(CTImageStorage, "CT", study)
        ct.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
        ct.SeriesInstanceUID, ct.FrameOfReferenceUID, ct.InstanceNumber = series, frame, index + 1
        ct.ImagePositionPatient = [-SIDE / 2 * PIXEL_MM, -SIDE / 2 * PIXEL_MM, index * STEP_MM]
        ct.ImageOrientationPatient, ct.PixelSpacing = [1, 0, 0, 0, 1, 0], [PIXEL_MM, PIXEL_MM]
        ct.SliceThickness, ct.KVP, ct.ExposureTime, ct.ConvolutionKernel = STEP_MM, 120, 1000, "H31s"
        ct.Rows = ct.Columns = SIDE
        ct.BitsAllocated, ct.BitsStored, ct.HighBit, ct.PixelRepresentation, ct.SamplesPerPixel = 16, 12, 11, 0, 1
        ct.PhotometricInterpretation, ct.RescaleSlope, ct.RescaleIntercept = "MONOCHROME2", 1, -1024
        ct.PixelData = (np.roll(head, index, axis=0) + 1024).clip(0, 4095).astype("<u2").tobytes()
        ct.save_as(folder / f"CT.{index:04d}.dcm", enforce_file_format=True)
        uids.append(ct.SOPInstanceUID)
    _rtstruct(study, series, frame, uids).save_as(folder / "RS.dcm", enforce_file_format=True)


def _new(sop_class: str, modality: str, study: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Modality, dataset.StudyInstanceUID = modality, study
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Bench^Mark", f"B-{study[-8:]}", "19600101"
    dataset.StudyDate, dataset.SeriesDate, dataset.ContentDate = "20150102", "20150102", "20150102"
    dataset.InstitutionName, dataset.Manufacturer, dataset.StationName = "Somewhere", "Scanner", "CT99"
    for keyword in ("ReferencedStudySequence", "ReferencedImageSequence", "ProcedureCodeSequence"):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, generate_uid()
        setattr(dataset, keyword, Sequence([item, item]))
        dataset[keyword].is_undefined_length = True
    return dataset


def _rtstruct(study: str, series: str, frame: str, uids: list[str]) -> Dataset:
    dataset = _new(RTStructureSetStorage, "RTSTRUCT", study)
    one, inner, reference = Dataset(), Dataset(), Dataset()
    one.SeriesInstanceUID = series
    inner.RTReferencedSeriesSequence = Sequence([one])
    reference.FrameOfReferenceUID, reference.RTReferencedStudySequence = frame, Sequence([inner])
    dataset.ReferencedFrameOfReferenceSequence = Sequence([reference])
    listed, drawn = [], []
    for number, (name, radius, planes) in enumerate(
        [("EXTERNAL", 90.0, range(SLICES)), ("GTV", 10.0, range(67, 83)), ("PTV", 12.0, range(65, 85))], start=1
    ):
        item, drawing = Dataset(), Dataset()
        item.ROINumber, item.ROIName, item.ReferencedFrameOfReferenceUID = number, name, frame
        drawing.ReferencedROINumber = number
        drawing.ContourSequence = Sequence([_contour(radius, index, uids[index]) for index in planes])
        listed.append(item)
        drawn.append(drawing)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence(listed), Sequence(drawn)
    return dataset


def _contour(radius: float, index: int, uid: str) -> Dataset:
    contour, image = Dataset(), Dataset()
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    points = np.column_stack([radius * np.cos(angles), radius * np.sin(angles), np.full(60, index * STEP_MM)])
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 60
    contour.ContourData = [f"{value:.2f}" for value in points.ravel()]
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = CTImageStorage, uid
    contour.ContourImageSequence = Sequence([image])
    return contour


def by_range(uri: str) -> np.ndarray:
    """The platform's ingest, by ranged reads."""
    return np.array(preprocess_cohort(uri, SETTINGS, KEY).crops)


def plainly(uri: str) -> np.ndarray:
    """The baseline: reads every file whole, one by one, and all slices as HU; then selects, measures and cuts alike."""
    source, name = open_cohort(uri)
    crops = {}
    for row in parse_table(source.read(name), source):
        cts, rtstructs, volume, files = [], [], [], {}
        for entry in source.list(row.dicom):
            files[entry.name] = source.read(entry.name)
            dataset = pydicom.dcmread(io.BytesIO(files[entry.name]))
            if is_ct(Header.of(dataset)):
                volume.append(np.asarray(apply_modality_lut(pixel_array(dataset), dataset), np.float32))
                cts.append((entry.name, Header.of(dataset)))
            else:
                rtstructs.append((str(dataset.SOPInstanceUID), Header.of(dataset)))
        folder = Folder(MemoryStore(files), tuple(cts), tuple(rtstructs), (), 0)
        plan = open_plan(folder, roi_rule(SETTINGS, []))
        (roi,) = gtvs_of(plan, SETTINGS)
        crops[Pseudonymiser(KEY).tumour(row.tumour_id)] = measure(plan, roi, SETTINGS, ImageDefinition()).crop
    return np.array([crops[tumour] for tumour in sorted(crops)])


class Meter:
    """Counts the bytes read from sources."""

    def __init__(self) -> None:
        self.bytes, self._lock = 0, threading.Lock()
        for kind in (FolderStore, BucketStore):
            for method in ("read", "read_head"):
                setattr(kind, method, self._metered(getattr(kind, method)))

    def _metered(self, read: Callable[..., bytes]) -> Callable[..., bytes]:
        def metered(*arguments: Any) -> bytes:
            data = read(*arguments)
            with self._lock:
                self.bytes += len(data)
            return data

        return metered


def forget(folder: Path) -> None:
    """Drops the folder's files from the page cache, so that the disk is read."""
    for path in folder.rglob("*.dcm"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def compare(place: str, uri: str, rounds: int, meter: Meter, before: Callable[[], None]) -> dict[str, Any]:
    """Times both in turn; medians over the rounds."""
    sizes = {}

    def metered(name: str, way: Callable[[str], np.ndarray]) -> np.ndarray:
        meter.bytes = 0
        crops = way(uri)
        sizes[name] = meter.bytes
        return crops

    ways = {name: partial(metered, name, way) for name, way in (("plain", plainly), ("by range", by_range))}
    times, crops = timed_in_turn(ways, rounds, before)
    assert np.array_equal(crops["plain"], crops["by range"]), "the two ways differ"
    return {
        "place": place,
        "plain MB": sizes["plain"] / 1e6,
        "MB": sizes["by range"] / 1e6,
        "bytes ratio": sizes["plain"] / sizes["by range"],
        "plain s": times["plain"],
        "s": times["by range"],
        "time ratio": times["plain"] / times["by range"],
    }


def main() -> None:
    """Prints the table and writes it as JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--patients", type=int, default=3)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        (root / "cohort").mkdir()
        write_cohort(root / "cohort", given.patients)
        os.sync()
        meter, results = Meter(), []
        with s3_places(root / "cohort", "s3://dicom/bench", root / "s3") as places:
            for place, endpoint in places:
                os.environ["S3_ENDPOINT"] = endpoint
                results.append(compare(place, "s3://dicom/bench", given.rounds, meter, lambda: None))
        results.append(compare("folder", str(root / "cohort"), given.rounds, meter, lambda: forget(root / "cohort")))
    print(f"{given.patients} patients, {SLICES} slices of {SIDE} x {SIDE} each; identical crops")
    print(f"{'':18}{'plain MB':>10}{'MB':>8}{'fewer':>8}{'plain s':>10}{'s':>8}{'faster':>8}")
    for one in results:
        sizes = f"{one['plain MB']:>10.1f}{one['MB']:>8.1f}{one['bytes ratio']:>7.1f}x"
        times = f"{one['plain s']:>10.2f}{one['s']:>8.2f}{one['time ratio']:>7.1f}x"
        print(f"{one['place']:18}{sizes}{times}")
    write_results("ingest", results)


if __name__ == "__main__":
    main()
