"""Pseudonyms by key, and an audit that fails the step where identity is left in what it wrote.

The audit takes outputs apart into values. A value of its place's kind (``components.preprocess.kinds``: a number in its
range, a word of a closed vocabulary, a pseudonym, a digest) is ours and compared with nothing. Every other value is
compared with the identities of the cohort (``components.preprocess.identity_index`` says what is found and what cannot
be), and files, columns and keys that a dataset does not have are refused. What cannot be found by construction is
identity that equals a value of ours in its own place, such as a patient's number that is also somebody's age.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from components.common.errors import InputError
from components.preprocess.identity_index import IdentityIndex
from components.preprocess.kinds import PSEUDONYM
from components.preprocess.outputs import name_value, values_of_file, values_of_text
from components.preprocess.table import Row
from components.preprocess.values import Value, Verdict

#: Characters of a pseudonym after its letter: 50 bits, so that two of a million tumours hardly ever share one.
PSEUDONYM_LENGTH = 10
HINT = (
    "Nothing of this step was kept but its log: delete that where it is named here. Each line names the output and the "
    "attribute, never the value, so it can be reported as it stands: please do, it is a fault of this program. Until "
    "it is corrected: for a column, give other names in the cohort table; for a DICOM attribute, empty it in a copy of "
    "the files."
)


class Pseudonymiser:
    """Pseudonyms by keyed hash (HMAC-SHA256): the same text and key always give the same, no key gives it back."""

    def __init__(self, key: bytes) -> None:
        if not key:
            raise InputError("PSEUDONYM_KEY_MISSING", "the key of the pseudonyms is empty")
        self._key = key

    def patient(self, text: str) -> str:
        """``P-xxxxxxxxxx`` of a patient_id."""
        return f"P-{self._code('patient', text)}"

    def tumour(self, text: str) -> str:
        """``T-xxxxxxxxxx`` of a tumour_id."""
        return f"T-{self._code('tumour', text)}"

    def key_of_part(self, digest: str) -> str:
        """Name under which what was made of one patient's folder is kept: says nothing without the key."""
        return hmac.new(self._key, f"part\0{digest}".encode(), hashlib.sha256).hexdigest()

    def digest(self, kind: str, text: str) -> str:
        """Keyed digest, 64 bits in hexadecimal digits: equal for equal texts of a kind, and nothing more."""
        return hmac.new(self._key, f"{kind}\0{text}".encode(), hashlib.sha256).hexdigest()[:16]

    def _code(self, kind: str, text: str) -> str:
        digest = hmac.new(self._key, f"{kind}\0{text}".encode(), hashlib.sha256).digest()
        return base64.b32encode(digest).decode().lower()[:PSEUDONYM_LENGTH]


class Audit:
    """Collects what is identity while a cohort is read, and refuses outputs in which any of it is left.

    The values themselves are held as long as the step runs and are never shown: a problem names file and attribute.
    """

    def __init__(self) -> None:
        self._index = IdentityIndex()
        self._made: set[str] = set()

    def learn_rows(self, rows: Iterable[Row], pseudonyms: Pseudonymiser | None = None) -> None:
        """Adds the table's names of patients, tumours and folders, and the only pseudonyms that outputs may hold."""
        for row in rows:
            folder = row.dicom.replace("\\", "/").rstrip("/").rpartition("/")[2].removesuffix(".zip")
            names = {row.patient_id: "patient_id", row.tumour_id: "tumour_id", row.dicom: "dicom", folder: "dicom"}
            names[row.rtstruct_uid] = "rtstruct_uid"
            self.learn({text: f"column {name}" for text, name in names.items()})
            if pseudonyms:
                self._made |= {pseudonyms.patient(row.patient_id), pseudonyms.tumour(row.tumour_id)}

    def learn(self, identities: Mapping[str, str]) -> None:
        """Adds identities to look for, from any thread: each text with the attribute that it is of."""
        for text, attribute in identities.items():
            self._index.learn(text, attribute)

    def check(self, folders: Iterable[Path] = (), texts: Mapping[str, str] | None = None) -> None:
        """Looks through every file of ``folders`` (or files), its name, and the named ``texts``, value by value.

        Raises
        ------
        InputError
            ``IDENTITY_LEFT``, naming output, attribute and place, never the value.
        """
        found: dict[tuple[str, str], list[str]] = {}
        for output, value in self._values(folders, texts or {}):
            for what in self._problems(value):
                found.setdefault((output, what), []).append(value.place)
        if found:
            problems = [f"{output}: {_told(what, places)}" for (output, what), places in found.items()]
            raise InputError.collected("IDENTITY_LEFT", "identity is left in what was written:", problems, HINT)

    def _values(self, folders: Iterable[Path], texts: Mapping[str, str]) -> Iterator[tuple[str, Value]]:
        """The values of all outputs; an output whose name holds identity is named by its number."""
        for name, text in texts.items():
            yield from ((name, value) for value in values_of_text(name, text))
        for folder in folders:
            paths = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
            sealed = folder / "layout.json" in paths
            for number, path in enumerate(paths, start=1):
                name = path.relative_to(folder).as_posix() if folder.is_dir() else path.name
                in_name = name_value(name)
                shown = f"file {number} by name" if self._problems(in_name) else name
                yield shown, in_name
                if path.is_file():
                    yield from ((shown, value) for value in values_of_file(path, name, sealed=sealed))

    def _problems(self, value: Value) -> list[str]:
        """The attributes of the identities in a value; "" where it may not stand there, whatever it is."""
        if value.verdict is Verdict.OURS:
            made = not self._made or value.text in self._made or not PSEUDONYM.fullmatch(value.text)
            return [] if made else ["a pseudonym that this run did not make"]
        if value.verdict is Verdict.BYTES:
            return sorted(self._index.found_inside(value.text))
        return sorted(self._index.found_in(value.text)) or [""] * (value.verdict is Verdict.FOREIGN)


def _told(what: str, places: Sequence[str]) -> str:
    more = f" and {len(places) - 1} more places" if len(places) > 1 else ""
    return f"{what} in {places[0]}{more}" if what else f"{places[0]}{more}: nothing that may stand there"
