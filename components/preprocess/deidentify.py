"""Keyed pseudonyms, and an audit that fails the step where its outputs still hold identity.

The audit splits outputs into values. A value of the kind that belongs in its field (``components.preprocess.kinds``: a
number in its range, a word of a closed vocabulary, a pseudonym, a digest) is expected and not compared. Every other
value is compared with the identities in the cohort (``components.preprocess.identity_index`` lists what is found and
what cannot be found). Files, columns and keys that a dataset does not have are refused. By construction the audit
cannot find identity that equals an expected value of its field, such as a patient's number that is also an age.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from components.common.artifacts.layout import LAYOUT
from components.common.errors import InputError
from components.preprocess.identity_index import IdentityIndex
from components.preprocess.kinds import PSEUDONYM
from components.preprocess.outputs import name_value, values_of_file, values_of_text
from components.preprocess.table import Row
from components.preprocess.values import Value, Verdict

#: Characters of a pseudonym after its prefix: 50 bits, so that two of a million tumours hardly ever collide.
PSEUDONYM_LENGTH = 10
HINT = (
    "All outputs of this step were removed except its log: delete that too if it is named here. Each line names the "
    "output and the attribute but never the value, so please report it: it is a fault of this program. "
    "Until it is fixed: for a column, use other names in the cohort table; for a DICOM attribute, empty it in a copy "
    "of the files."
)


class Pseudonymiser:
    """Pseudonyms by keyed hash (HMAC-SHA256): reproducible with the same key, and not reversible."""

    def __init__(self, key: bytes) -> None:
        if not key:
            raise InputError("PSEUDONYM_KEY_MISSING", "the key of the pseudonyms is empty")
        self._key = key

    @property
    def fingerprint(self) -> str:
        """Shows whether two cohorts have the same key, and nothing else; 16 hexadecimal digits."""
        return self.digest("fingerprint", "")

    def patient(self, text: str) -> str:
        """``P-xxxxxxxxxx`` of a patient_id."""
        return f"P-{self._code('patient', text)}"

    def tumour(self, text: str) -> str:
        """``T-xxxxxxxxxx`` of a tumour_id."""
        return f"T-{self._code('tumour', text)}"

    def centre(self, text: str) -> str:
        """``C-xxxxxxxxxx`` of a centre; a keyed hash, so that a centre keeps its pseudonym when the cohort grows."""
        return f"C-{self._code('centre', text)}"

    def key_of_part(self, digest: str) -> str:
        """Name under which a patient's part is stored; it reveals nothing without the key."""
        return hmac.new(self._key, f"part\0{digest}".encode(), hashlib.sha256).hexdigest()

    def digest(self, kind: str, text: str) -> str:
        """Keyed digest, 64 bits in hexadecimal digits: shows that two texts of a kind are equal, and nothing else."""
        return hmac.new(self._key, f"{kind}\0{text}".encode(), hashlib.sha256).hexdigest()[:16]

    def _code(self, kind: str, text: str) -> str:
        digest = hmac.new(self._key, f"{kind}\0{text}".encode(), hashlib.sha256).digest()
        return base64.b32encode(digest).decode().lower()[:PSEUDONYM_LENGTH]


class Audit:
    """Collects identity while a cohort is read, and refuses outputs that still hold any of it.

    The identities stay in memory while the step runs and are never shown: a problem names the file and the attribute.
    """

    def __init__(self) -> None:
        self._index = IdentityIndex()
        self._made: set[str] = set()

    def learn_rows(self, rows: Iterable[Row], pseudonyms: Pseudonymiser | None = None) -> None:
        """Adds the names in the table (patients, tumours, folders, centres), and pseudonyms that outputs may hold."""
        for row in rows:
            folder = row.dicom.replace("\\", "/").rstrip("/").rpartition("/")[2].removesuffix(".zip")
            names = {row.patient_id: "patient_id", row.tumour_id: "tumour_id", row.dicom: "dicom", folder: "dicom"}
            names[row.rtstruct_uid] = "rtstruct_uid"
            names.setdefault(row.centre or "", "centre")
            self.learn({text: f"column {name}" for text, name in names.items()})
            if pseudonyms:
                self._made |= {pseudonyms.patient(row.patient_id), pseudonyms.tumour(row.tumour_id)}
                self._made |= {pseudonyms.centre(row.centre)} if row.centre else set()

    def learn(self, identities: Mapping[str, str]) -> None:
        """Adds identities to search for, each text with its attribute. May be called from any thread."""
        for text, attribute in identities.items():
            self._index.learn(text, attribute)

    def check(self, folders: Iterable[Path] = (), texts: Mapping[str, str] | None = None) -> None:
        """Checks every file in ``folders`` (or single files), its name, and the named ``texts``, value by value.

        Raises
        ------
        InputError
            ``IDENTITY_LEFT``, which names the output, the attribute and the location, but never the value.
        """
        locations: dict[tuple[str, str], list[str]] = {}
        for output, value in self._values(folders, texts or {}):
            for attribute in self._problems(value):
                locations.setdefault((output, attribute), []).append(value.location)
        if locations:
            problems = [f"{output}: {_problem(attribute, found)}" for (output, attribute), found in locations.items()]
            raise InputError.collected("IDENTITY_LEFT", "the outputs still hold identity:", problems, HINT)

    def _values(self, folders: Iterable[Path], texts: Mapping[str, str]) -> Iterator[tuple[str, Value]]:
        """The values of all outputs; an output whose own name holds identity is reported by its number."""
        for name, text in texts.items():
            yield from ((name, value) for value in values_of_text(name, text))
        for folder in folders:
            paths = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
            sealed = folder / LAYOUT in paths
            for number, path in enumerate(paths, start=1):
                name = path.relative_to(folder).as_posix() if folder.is_dir() else path.name
                in_name = name_value(name)
                shown = f"file {number} by name" if self._problems(in_name) else name
                yield shown, in_name
                if path.is_file():
                    yield from ((shown, value) for value in values_of_file(path, name, sealed=sealed))

    def _problems(self, value: Value) -> list[str]:
        """The attributes of the identities in a value; "" for a value that is not allowed there at all."""
        if value.verdict is Verdict.EXPECTED:
            is_known = not self._made or value.text in self._made or not PSEUDONYM.fullmatch(value.text)
            return [] if is_known else ["a pseudonym that this run did not make"]
        if value.verdict is Verdict.BYTES:
            return sorted(self._index.found_inside(value.text))
        return sorted(self._index.found_in(value.text)) or [""] * (value.verdict is Verdict.FORBIDDEN)


def _problem(attribute: str, locations: Sequence[str]) -> str:
    more = f" and {len(locations) - 1} more places" if len(locations) > 1 else ""
    return f"{attribute} in {locations[0]}{more}" if attribute else f"{locations[0]}{more}: not allowed there"
