"""One patient under two patient_ids, or one tumour in two rows: told by DICOM and by the image, not by the table.

A cohort that lists a patient twice puts the same tumours on both sides of a split. What two exports of one patient
share is kept as keyed digests, which say nothing without the key of the pseudonyms.
"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from components.common.errors import InputError, TumourError
from components.common.files import digest_of_array
from components.common.settings import CROPS, IDENTIFYING, PIXELS
from components.imaging.ct import CtPlane
from components.imaging.dicom_io import text
from components.imaging.elements import Header
from components.imaging.pixels import read_hu
from components.imaging.plan import Folder, Plan
from components.preprocess.similarity import Crops, near_identical

#: Kinds of evidence that need more words than their names.
WORDS = {PIXELS: "the pixels of the CT", CROPS: "near-identical crops"}
#: Does not link patients: it tells apart two hospitals' patients of one PatientID.
BIRTH_DATE = "PatientBirthDate"
#: SOPInstanceUIDs kept of a folder: the lowest digests, so that two exports of parts of one series share some.
KEPT_UIDS = 64
#: Slices of a series whose pixels are compared: the first by a keyed order of their positions, so that an export of
#: most slices shares some with one of all (one of half of them, in three of four cases). Each is read whole, which is
#: a good part of what is read of a patient.
KEPT_SLICES = 2
#: HU to which pixels are clipped before they are compared: exports differ in how they write air and metal.
COMPARED_HU = (-200, 1500)
#: Rows named in a problem.
MOST_ROWS = 12

#: What everyone tells patients apart by, as a report says it.
TOLD_APART_BY = ("folder", *IDENTIFYING, PIXELS, CROPS)

Digest = Callable[[str, str], str]


@dataclasses.dataclass(frozen=True, slots=True)
class Sighting:
    """A row whose tumour is used, and what its DICOM says of who it is.

    Parameters
    ----------
    row
        Its number in the table.
    patient_id
        The table's.
    evidence
        ``kind:digest`` of its folder.
    structure
        Digest of RTSTRUCT and ROINumber.
    """

    row: int
    patient_id: str
    evidence: tuple[str, ...]
    structure: str


def evidence_of_folder(folder: Folder, digest: Digest) -> tuple[str, ...]:
    """What the headers of a folder's CT and RTSTRUCT objects say of the patient, as ``kind:digest``.

    Parameters
    ----------
    folder
        Headers of a patient.
    digest
        Keyed digest of a kind and a text.
    """
    headers = [header for _, header in folder.cts]
    headers += [found for _, found in folder.rtstructs if isinstance(found, Header)]
    found: list[str] = []
    for keyword in (*IDENTIFYING, BIRTH_DATE):
        values = {_plain(text(header, keyword)) for header in headers} - {""}
        codes = sorted(f"{keyword}:{digest(keyword, value)}" for value in values)
        found += codes[:KEPT_UIDS]
    return tuple(found)


def evidence_of_pixels(plan: Plan, digest: Digest) -> tuple[str, ...]:
    """The same of some slices of a CT series: their HU, whatever their UIDs; none of what is flat or unreadable."""
    codes = (_code_of_pixels(plan, plane, digest) for plane in _compared_planes(plan.series.planes, digest))
    return tuple(dict.fromkeys(code for code in codes if code))


def _compared_planes(planes: Sequence[CtPlane], digest: Digest) -> Iterable[CtPlane]:
    """The first planes by a keyed order of their positions; one of each object, since it is read whole."""
    chosen: dict[str, CtPlane] = {}
    for plane in sorted(planes, key=lambda plane: digest("position", f"{plane.z_mm:.2f}"))[:KEPT_SLICES]:
        chosen.setdefault(plane.name, plane)
    return chosen.values()


def _code_of_pixels(plan: Plan, plane: CtPlane, digest: Digest) -> str:
    """The same code for a slice whose rows or columns are written in the other direction."""
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
    sightings: Sequence[Sighting], crops: Crops, *, shared: Iterable[str] = (), merge: bool = False
) -> dict[str, str]:
    """Refuses rows of one tumour, and patients that are one; gives the patient_id that each stands for.

    Parameters
    ----------
    sightings
        All rows that are used.
    crops
        [n, 151, 151] HU, theirs.
    shared
        Kinds of evidence that different patients of this cohort share.
    merge
        Whether patients that are one are taken as one, instead of refused.

    Raises
    ------
    InputError
        ``COHORT_DUPLICATES``.
    """
    people, shared = _People(sightings), frozenset(shared)
    pairs = [] if CROPS in shared else near_identical(crops)
    alike = [(sightings[i], sightings[j]) for i, j in pairs]
    for kind, patients in _links(sightings, shared):
        people.join(patients, kind)
    for one, other in alike:
        people.join([one.patient_id, other.patient_id], CROPS)
    stands_for = people.representatives()
    named = stands_for if merge else {name: name for name in stands_for}
    known = [] if "SOPInstanceUID" in shared else sightings
    problems = _same_tumours(known, alike, named) + ([] if merge else people.problems())
    if problems:
        heading = "the cohort table lists one tumour, or one patient under several patient_ids, more than once:"
        hint = (
            "Give all rows of a patient one patient_id and each tumour one row, or take such patients as one by "
            "preprocess.one_patient=merge. Where they are different patients all the same, as in an export that gave "
            "all one PatientID, or phantoms with the same pixels, name what they share in preprocess.shared_attributes."
        )
        raise InputError.collected("COHORT_DUPLICATES", heading, problems, hint)
    return named


def _links(sightings: Sequence[Sighting], shared: frozenset[str]) -> Iterable[tuple[str, list[str]]]:
    """Kinds of evidence with the patient_ids that one digest of it ties together."""
    by_code: dict[str, list[Sighting]] = defaultdict(list)
    for sighting in sightings:
        for code in sighting.evidence:
            by_code[code].append(sighting)
    for code, found in by_code.items():
        kind = code.partition(":")[0]
        if kind in shared or kind == BIRTH_DATE:
            continue
        for same in _by_birth(found) if kind == "PatientID" else [found]:
            yield kind, [sighting.patient_id for sighting in same]


def _by_birth(found: Sequence[Sighting]) -> list[list[Sighting]]:
    """Those of one PatientID, apart where their dates of birth differ: two hospitals may count alike."""
    births: dict[str, list[Sighting]] = defaultdict(list)
    for sighting in found:
        date = next((code for code in sighting.evidence if code.startswith(BIRTH_DATE)), "")
        births[date].append(sighting)
    return list(births.values()) if len(births.keys() - {""}) > 1 else [list(found)]


class _People:
    """Which patient_ids are one patient, and by what."""

    def __init__(self, sightings: Sequence[Sighting]) -> None:
        self._sightings = sightings
        self._parents = {sighting.patient_id: sighting.patient_id for sighting in sightings}
        self._kinds: dict[str, set[str]] = defaultdict(set)

    def join(self, patients: Sequence[str], kind: str) -> None:
        """Ties patient_ids together."""
        for one, other in itertools.pairwise(dict.fromkeys(patients)):
            first, second = sorted((self._root(one), self._root(other)))
            self._parents[second] = first
            self._kinds[first] |= {kind} | self._kinds.pop(second, set())

    def representatives(self) -> dict[str, str]:
        """For each patient_id the first of those that are one patient."""
        return {name: self._root(name) for name in self._parents}

    def problems(self) -> list[str]:
        """A line for each patient of several patient_ids."""
        rows: dict[str, list[Sighting]] = defaultdict(list)
        for sighting in self._sightings:
            rows[self._root(sighting.patient_id)].append(sighting)
        found = []
        for root, same in sorted(rows.items(), key=lambda item: _first_row(item[1])):
            if (count := len({sighting.patient_id for sighting in same})) > 1:
                kinds = [WORDS.get(kind, kind) for kind in TOLD_APART_BY if kind in self._kinds[root]]
                found.append(f"{_rows(same)}: one patient under {count} patient_ids, by {', '.join(kinds)}")
        return found

    def _root(self, name: str) -> str:
        while self._parents[name] != name:
            name = self._parents[name]
        return name


def _same_tumours(
    sightings: Iterable[Sighting], alike: Iterable[tuple[Sighting, Sighting]], named: Mapping[str, str]
) -> list[str]:
    """A line for each tumour that several rows of one patient are about."""
    structures: dict[tuple[str, str], list[Sighting]] = defaultdict(list)
    for sighting in sightings:
        structures[named[sighting.patient_id], sighting.structure].append(sighting)
    twice = {tuple(same): "the same structure" for key, same in structures.items() if key[1] and len(same) > 1}
    known = {pair for same in twice for pair in itertools.combinations(same, 2)}
    for pair in alike:
        if pair not in known and named[pair[0].patient_id] == named[pair[1].patient_id]:
            twice[pair] = WORDS[CROPS]
    in_order = sorted(twice.items(), key=lambda item: _first_row(item[0]))
    return [f"{_rows(same)}: one tumour, by {why}" for same, why in in_order]


def _first_row(sightings: Iterable[Sighting]) -> int:
    return min(sighting.row for sighting in sightings)


def _rows(sightings: Iterable[Sighting]) -> str:
    numbers = sorted(sighting.row for sighting in sightings)
    more = f" and {len(numbers) - MOST_ROWS} more" if len(numbers) > MOST_ROWS else ""
    return f"rows {', '.join(map(str, numbers[:MOST_ROWS]))}{more}"
