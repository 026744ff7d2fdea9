"""Detects a patient under two patient_ids, or a tumour in two rows, by DICOM attributes and image content.

A cohort that lists a patient twice can put the same tumour on both sides of a split. Attributes and pixels that two
exports of one patient would share are compared as keyed digests, which reveal nothing without the pseudonyms' key.
"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from components.common.errors import InputError, TumourError
from components.common.files import digest_of_array
from components.common.setting_types import CROPS, IDENTIFYING, PIXELS
from components.imaging.attributes import text
from components.imaging.ct import CtPlane
from components.imaging.elements import Header
from components.imaging.pixels import read_hu
from components.imaging.plan import Folder, Plan
from components.preprocess.similarity import Crops, near_identical

#: Descriptions of kinds of evidence whose names do not explain themselves.
DESCRIPTIONS = {PIXELS: "the pixels of the CT", CROPS: "near-identical crops"}
#: Not evidence of its own: it distinguishes patients of two hospitals that have the same PatientID.
BIRTH_DATE = "PatientBirthDate"
#: Number of digests of SOPInstanceUIDs per folder: the lowest ones, so that two partial exports of a series share some.
MAX_UIDS = 64
#: Number of slices of a series whose pixels are compared: the first by a keyed order of their positions, so that an
#: export of most slices shares some with a full one (an export of half of them in three of four cases). Each is read
#: whole, which is a large part of the data read for a patient.
COMPARED_SLICES = 2
#: HU range to which pixels are clipped before they are compared, since exports differ in how they write air and metal.
COMPARED_HU = (-200, 1500)
#: Rows named in a problem.
MOST_ROWS = 12

#: Kinds of evidence that distinguish patients, in the order of the report.
EVIDENCE_KINDS = ("folder", *IDENTIFYING, PIXELS, CROPS)

Digest = Callable[[str, str], str]


@dataclasses.dataclass(frozen=True, slots=True)
class RowEvidence:
    """The evidence in a used row's DICOM of which patient and tumour it shows.

    Parameters
    ----------
    number
        Number of the row in the table.
    patient_id
        Its patient_id in the table.
    evidence
        Evidence of its folder, as ``kind:digest``.
    structure
        Digest of RTSTRUCT and ROINumber.
    """

    number: int
    patient_id: str
    evidence: tuple[str, ...]
    structure: str


def evidence_of_folder(folder: Folder, digest: Digest) -> tuple[str, ...]:
    """Evidence of the patient in the headers of a folder's CT and RTSTRUCT objects, as ``kind:digest``.

    Parameters
    ----------
    folder
        A patient's folder.
    digest
        Keyed digest of a kind and a text.
    """
    headers = [header for _, header in folder.cts]
    headers += [rtstruct for _, rtstruct in folder.rtstructs if isinstance(rtstruct, Header)]
    evidence: list[str] = []
    for keyword in (*IDENTIFYING, BIRTH_DATE):
        values = {_plain(text(header, keyword)) for header in headers} - {""}
        codes = sorted(f"{keyword}:{digest(keyword, value)}" for value in values)
        evidence += codes[:MAX_UIDS]
    return tuple(evidence)


def evidence_of_pixels(plan: Plan, digest: Digest) -> tuple[str, ...]:
    """Evidence in the HU of some slices of a CT series, independent of UIDs; unreadable or uniform slices give none."""
    codes = (_code_of_pixels(plan, plane, digest) for plane in _compared_planes(plan.series.planes, digest))
    return tuple(dict.fromkeys(code for code in codes if code))


def _compared_planes(planes: Sequence[CtPlane], digest: Digest) -> Iterable[CtPlane]:
    """The first planes by a keyed order of their positions; at most one per object, since objects are read whole."""
    chosen: dict[str, CtPlane] = {}
    for plane in sorted(planes, key=lambda plane: digest("position", f"{plane.z_mm:.2f}"))[:COMPARED_SLICES]:
        chosen.setdefault(plane.name, plane)
    return chosen.values()


def _code_of_pixels(plan: Plan, plane: CtPlane, digest: Digest) -> str:
    """Evidence of one slice, the same whichever way its rows and columns run."""
    try:
        hu = read_hu(plan.source, plane).hu
    except TumourError:
        return ""
    compared = np.rint(np.clip(hu, *COMPARED_HU)).astype(np.int16)
    if not np.ptp(compared):
        return ""
    turned = (compared[::down, ::right] for down in (1, -1) for right in (1, -1))
    return f"{PIXELS}:{digest(PIXELS, min(map(digest_of_array, turned)))}"


def _plain(value: str) -> str:
    return value.strip().casefold()


def check_distinct(
    rows: Sequence[RowEvidence], crops: Crops, *, shared: Iterable[str] = (), merge: bool = False
) -> dict[str, str]:
    """Refuses rows that show the same tumour or patient, and returns for each patient_id the one to use instead.

    Parameters
    ----------
    rows
        Evidence of all used rows.
    crops
        [n, 151, 151] HU of the same rows.
    shared
        Kinds of evidence that different patients of this cohort have in common.
    merge
        Whether several patient_ids of one patient are merged instead of refused.

    Raises
    ------
    InputError
        ``COHORT_DUPLICATES``.
    """
    groups, shared = _PatientGroups(rows), frozenset(shared)
    pairs = [] if CROPS in shared else near_identical(crops)
    alike = [(rows[i], rows[j]) for i, j in pairs]
    for kind, patients in _links(rows, shared):
        groups.join(patients, kind)
    for one, other in alike:
        groups.join([one.patient_id, other.patient_id], CROPS)
    representatives = groups.representatives()
    named = representatives if merge else {name: name for name in representatives}
    known = [] if "SOPInstanceUID" in shared else rows
    problems = _same_tumours(known, alike, named) + ([] if merge else groups.problems())
    if problems:
        heading = "the cohort table lists one tumour, or one patient under several patient_ids, more than once:"
        hint = (
            "Give all rows of a patient one patient_id and each tumour one row, or merge such patients by "
            "preprocess.one_patient=merge. If they are in fact different patients, as in an export that gave all of "
            "them one PatientID, or phantoms with the same pixels, list what they share in "
            "preprocess.shared_attributes."
        )
        raise InputError.collected("COHORT_DUPLICATES", heading, problems, hint)
    return named


def _links(rows: Sequence[RowEvidence], shared: frozenset[str]) -> Iterable[tuple[str, list[str]]]:
    """Each kind of evidence with the patient_ids that share one digest of it."""
    by_code: dict[str, list[RowEvidence]] = defaultdict(list)
    for row in rows:
        for code in row.evidence:
            by_code[code].append(row)
    for code, found in by_code.items():
        kind = code.partition(":")[0]
        if kind in shared or kind == BIRTH_DATE:
            continue
        for same in _by_birth(found) if kind == "PatientID" else [found]:
            yield kind, [row.patient_id for row in same]


def _by_birth(found: Sequence[RowEvidence]) -> list[list[RowEvidence]]:
    """Rows of one PatientID, grouped by date of birth if it differs: two hospitals may assign the same number."""
    births: dict[str, list[RowEvidence]] = defaultdict(list)
    for row in found:
        date = next((code for code in row.evidence if code.startswith(BIRTH_DATE)), "")
        births[date].append(row)
    return list(births.values()) if len(births.keys() - {""}) > 1 else [list(found)]


class _PatientGroups:
    """Groups of patient_ids that belong to one patient, with the kinds of evidence (a union-find structure)."""

    def __init__(self, rows: Sequence[RowEvidence]) -> None:
        self._rows = rows
        self._parents = {row.patient_id: row.patient_id for row in rows}
        self._kinds: dict[str, set[str]] = defaultdict(set)

    def join(self, patients: Sequence[str], kind: str) -> None:
        """Joins patient_ids into one group."""
        for one, other in itertools.pairwise(dict.fromkeys(patients)):
            first, second = sorted((self._root(one), self._root(other)))
            self._parents[second] = first
            self._kinds[first] |= {kind} | self._kinds.pop(second, set())

    def representatives(self) -> dict[str, str]:
        """For each patient_id the first one of its group."""
        return {name: self._root(name) for name in self._parents}

    def problems(self) -> list[str]:
        """One line for each patient with several patient_ids."""
        groups: dict[str, list[RowEvidence]] = defaultdict(list)
        for row in self._rows:
            groups[self._root(row.patient_id)].append(row)
        problems = []
        for root, same in sorted(groups.items(), key=lambda item: _first_row(item[1])):
            if (count := len({row.patient_id for row in same})) > 1:
                kinds = [DESCRIPTIONS.get(kind, kind) for kind in EVIDENCE_KINDS if kind in self._kinds[root]]
                problems.append(f"{_rows(same)}: one patient under {count} patient_ids, by {', '.join(kinds)}")
        return problems

    def _root(self, name: str) -> str:
        while self._parents[name] != name:
            name = self._parents[name]
        return name


def _same_tumours(
    rows: Iterable[RowEvidence], alike: Iterable[tuple[RowEvidence, RowEvidence]], named: Mapping[str, str]
) -> list[str]:
    """One line for each tumour that several rows of a patient show."""
    structures: dict[tuple[str, str], list[RowEvidence]] = defaultdict(list)
    for row in rows:
        structures[named[row.patient_id], row.structure].append(row)
    twice = {tuple(same): "the same structure" for key, same in structures.items() if key[1] and len(same) > 1}
    known = {pair for same in twice for pair in itertools.combinations(same, 2)}
    for pair in alike:
        if pair not in known and named[pair[0].patient_id] == named[pair[1].patient_id]:
            twice[pair] = DESCRIPTIONS[CROPS]
    in_order = sorted(twice.items(), key=lambda item: _first_row(item[0]))
    return [f"{_rows(same)}: one tumour, by {why}" for same, why in in_order]


def _first_row(rows: Iterable[RowEvidence]) -> int:
    return min(row.number for row in rows)


def _rows(rows: Iterable[RowEvidence]) -> str:
    numbers = sorted(row.number for row in rows)
    more = f" and {len(numbers) - MOST_ROWS} more" if len(numbers) > MOST_ROWS else ""
    return f"rows {', '.join(map(str, numbers[:MOST_ROWS]))}{more}"
