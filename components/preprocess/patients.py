"""Reads one patient's folder into the outcomes of its rows, or takes them from an earlier attempt."""

import dataclasses
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

from components.common.errors import InputError
from components.common.files import digest_of
from components.common.settings import PreprocessSettings
from components.common.store.base import Entry, Source
from components.imaging.crop import ImageDefinition
from components.imaging.measuring import measure
from components.imaging.plan import Folder, Plan, list_folder, open_plan, read_entries
from components.imaging.roi import choose_roi, find_rois, gtvs_of, left_out_gtvs, roi_rule
from components.imaging.size_rule import check_size, size_refusal
from components.preprocess.code import code_digest
from components.preprocess.deidentify import Audit, Pseudonymiser
from components.preprocess.distinct import Digest, evidence_of_folder, evidence_of_pixels
from components.preprocess.identity import identities_of_headers
from components.preprocess.locating import Location, locate
from components.preprocess.parts import LAYOUT, Outcome, Part, PartStore
from components.preprocess.table import Row, location_key


@dataclasses.dataclass(frozen=True, slots=True)
class Patient:
    """One DICOM folder: the rows to be read, and the structures named in any of its rows."""

    location: Location | InputError
    rows: tuple[Row, ...]
    listed: tuple[str, ...]


def patients_of(source: Source, rows: Sequence[Row], excluded: Mapping[int, str]) -> list[Patient]:
    """The folders with at least one row that the table alone does not exclude; all names of a folder are one folder."""
    locations: dict[Hashable, Location | InputError] = {}
    by_folder: dict[Hashable, list[Row]] = defaultdict(list)
    for row in rows:
        key = location_key(source, row.dicom)
        by_folder[key].append(row)
        if key not in locations:
            locations[key] = _located(source, row.dicom)
    patients = [
        Patient(
            locations[key],
            tuple(r for r in all_rows if r.number not in excluded),
            tuple(r.roi for r in all_rows if r.roi),
        )
        for key, all_rows in by_folder.items()
    ]
    return [patient for patient in patients if patient.rows]


def _located(source: Source, dicom: str) -> Location | InputError:
    try:
        return locate(source, dicom)
    except InputError as error:
        return error


@dataclasses.dataclass(frozen=True, slots=True)
class Reader:
    """Reads patients, and audits the values of each for its identity before storing them.

    Parameters
    ----------
    settings
        Rules of the study.
    pseudonyms
        Its key makes the names of stored parts.
    store
        Parts of earlier attempts.
    audit
        Collects the identity in the headers.
    """

    settings: PreprocessSettings
    pseudonyms: Pseudonymiser
    store: PartStore
    audit: Audit

    def read(self, patient: Patient) -> tuple[Part, bool]:
        """The part of a patient, and whether it is from an earlier attempt.

        Raises
        ------
        InputError
            ``IDENTITY_LEFT``.
        StorageError
            The storage does not respond.
        """
        if isinstance(patient.location, InputError):
            return Part.of_error(patient.location, patient.rows), False
        try:
            source, prefix = patient.location.open()
            entries = list_folder(source, prefix)
        except InputError as error:
            return Part.of_error(error, patient.rows), False
        key = self._key(patient, entries)
        if stored := self.store.get(key):
            return stored, True
        try:
            folder = read_entries(source, entries)
        except InputError as error:
            return Part.of_error(error, patient.rows), False
        part = part_of_folder(folder, patient, self.settings, self.pseudonyms.digest)
        self.audit.learn(identities_of_headers(folder.headers))
        self.audit.check(texts={"the stored part of a patient": part.measures()})
        self.store.put(key, part)
        return part, False

    def _key(self, patient: Patient, entries: Sequence[Entry]) -> str:
        rows = [(row.roi, row.rtstruct_uid, row.longest_diameter_mm) for row in patient.rows]
        files = [dataclasses.astuple(entry) for entry in entries]
        made_by = [LAYOUT, code_digest(), self.settings.to_dict()]
        return self.pseudonyms.key_of_part(digest_of([made_by, patient.listed, rows, files]))


def part_of_folder(folder: Folder, patient: Patient, settings: PreprocessSettings, digest: Digest) -> Part:
    """The outcomes of all rows of one folder, and the evidence of which patient it shows."""
    outcomes: dict[int, Outcome] = {}
    unlisted = 0
    evidence = list(evidence_of_folder(folder, digest))
    by_rtstruct: dict[str, list[Row]] = defaultdict(list)
    for row in patient.rows:
        by_rtstruct[row.rtstruct_uid].append(row)
    for uid, rows in by_rtstruct.items():
        try:
            plan = open_plan(folder, roi_rule(settings, patient.listed), uid)
        except InputError as error:
            outcomes |= {row.number: Outcome.of_error(error) for row in rows}
            continue
        outcomes |= {row.number: _outcome(plan, row, settings, digest) for row in rows}
        unlisted += _unlisted(plan, patient, rows, settings)
        evidence += evidence_of_pixels(plan, digest)
    return Part(tuple(outcomes[row.number] for row in patient.rows), unlisted, tuple(dict.fromkeys(evidence)))


def _outcome(plan: Plan, row: Row, settings: PreprocessSettings, digest: Digest) -> Outcome:
    try:
        roi = choose_roi(plan, settings, row.roi)
    except InputError as error:
        return Outcome.of_error(error)
    definition = ImageDefinition(slice_rule=settings.slice_rule)
    candidate = measure(plan, roi, settings, definition)
    candidate = check_size(candidate, settings, definition, row.longest_diameter_mm)
    if candidate.status == "ok":
        uid = plan.rtstruct.sop_instance_uid
        return Outcome.of_candidate(candidate, digest("structure", f"{uid}\0{roi.number}") if uid else "")
    # the study's rules come first in the flow, even for a tumour that could not be cut
    diameter = row.longest_diameter_mm or candidate.longest_diameter_mm
    size = size_refusal(diameter, settings) if diameter is not None else None
    if size:
        return Outcome.of_error(size)
    return Outcome(code=candidate.code, message=candidate.message, hint=candidate.hint)


def _unlisted(plan: Plan, patient: Patient, rows: Sequence[Row], settings: PreprocessSettings) -> int:
    """Number of GTVs that no row names. A row without a name accounts for one; possible GTVs then count as well."""
    try:
        gtvs = [roi for roi in gtvs_of(plan, settings) if not roi.is_empty]
    except InputError:
        return 0
    listed = {id(roi) for name in patient.listed for roi in find_rois(plan.rtstruct.rois, name)}
    free = sum(id(roi) not in listed for roi in gtvs)
    unnamed = sum(not row.roi for row in rows)
    return max(0, free - unnamed) + (len(left_out_gtvs(plan, settings)) if unnamed else 0)
