"""Pseudonyms by key, and an audit that fails the step where identity is left in what it wrote."""

import base64
import hashlib
import hmac
import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from components.common.artifacts import TUMOUR_COLUMNS, Exclusion, Flow
from components.common.errors import InputError
from components.common.steps import STYLE
from components.preprocess.crop import ImageDefinition
from components.preprocess.exclusions import REASONS
from components.preprocess.flow_diagram import flow_svg
from components.preprocess.identity import SHORTEST_NAME, SHORTEST_VALUE, UID_FORM
from components.preprocess.table import Row

#: Characters of a pseudonym after its letter: 50 bits, so that two of a million tumours hardly ever share one.
PSEUDONYM_LENGTH = 10
#: From this length on, a value with a digit or sign in it is searched for inside words too.
ANYWHERE_LENGTH = 8

_TERMS = (
    *TUMOUR_COLUMNS,
    *REASONS,
    *REASONS.values(),
    *ImageDefinition().to_dict(),
    *Flow.__slots__,
    *Exclusion.__slots__,
)
_VALUES = "cerebrum cerebellum brain stem lung breast rectum stomach kidney other male female yes no"
_DEVICES = "linac cyberknife"
_SHOWN = (
    "doctype html lang meta charset utf title style script body table font system sans serif margin color border "
    "collapse solid bottom vertical align text top left padding background class rem responders non fingerprint data "
    "phantom patient listed used without row image definition version gtvs gtv "
    "div content viewport srs progress preprocess patients read earlier new key for pseudonyms was made keep the file "
    "later runs need"
)
_FILES = "uid layout kind version digest files json csv npy crops tumours definition cohort dataset synthetic phantom"
_FLOW = flow_svg(Flow(0, 0, (), 0, 0))
#: Words that outputs hold whatever the patients are called: a patient named Stem must not fail every run.
OWN_WORDS = frozenset(
    re.findall(
        r"[^\W\d_]+",
        " ".join([*_TERMS, _VALUES, _DEVICES, _SHOWN, STYLE, _FLOW, _FILES, str(ImageDefinition())]).casefold(),
    )
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
        self._kinds: dict[str, str] = {}
        self._lock = threading.Lock()  # patients are read side by side

    def learn_rows(self, rows: Iterable[Row]) -> None:
        """Adds the table's own names of patients, tumours and folders."""
        for row in rows:
            folder = row.dicom.rstrip("/").rpartition("/")[2]
            columns = {"patient_id": row.patient_id, "tumour_id": row.tumour_id, "dicom": folder}
            columns |= {} if UID_FORM.fullmatch(row.rtstruct_uid) else {"rtstruct_uid": row.rtstruct_uid}
            self.learn({text: f"column {name}" for name, text in columns.items() if len(text) >= SHORTEST_VALUE})

    def learn(self, identities: Mapping[str, str]) -> None:
        """Adds texts to look for; a mapping says where each came from."""
        known = (item for item in identities.items() if len(item[0]) >= SHORTEST_NAME and not _is_own(item[0]))
        kinds = {text.casefold(): kind for text, kind in known}
        with self._lock:
            self._kinds |= kinds

    def check(self, folders: Iterable[Path] = (), texts: Mapping[str, str] | None = None) -> None:
        """Looks through every file of ``folders`` (or files), its name, and the named ``texts``.

        Values of 8 or more characters that are not plain letters are looked for anywhere, case-blind; shorter ones and
        parts of names as whole words; UIDs by their form. ``.npy`` files are checked by dtype and shape: numbers hold
        no text.

        Raises
        ------
        InputError
            ``IDENTITY_LEFT``, naming file and attribute, never the value.
        """
        problems = [f"{name}: {kind}" for name, text in (texts or {}).items() for kind in self._found(text)]
        for folder in folders:
            files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
            for number, path in enumerate(files, start=1):
                name = path.relative_to(folder).as_posix() if folder.is_dir() else path.name
                problems += self._problems_of(path, name, number)
        if problems:
            hint = "Nothing of this step is used. Tell the developers; do not share the folder."
            raise InputError.collected("IDENTITY_LEFT", "identity is left in what was written:", problems, hint)

    def _problems_of(self, path: Path, name: str, number: int) -> list[str]:
        in_name = self._found(name)
        shown = f"file {number} by name" if in_name else name
        problems = [f"{shown}: {kind} in the file's name" for kind in in_name]
        if path.suffix == ".npy":
            return problems + ([] if _is_plain_array(path) else [f"{shown}: not a plain array of numbers"])
        content = path.read_bytes().decode("utf-8", errors="replace")
        return problems + [f"{shown}: {kind}" for kind in self._found(content)]

    def _found(self, text: str) -> list[str]:
        """Where identities found in ``text`` come from."""
        text = text.casefold()
        with self._lock:
            known = list(self._kinds.items())
        kinds = {kind for value, kind in known if value in text and _matches(value, text)}
        return sorted(kinds | ({"a UID"} if UID_FORM.search(text) else set()))


def _matches(value: str, text: str) -> bool:
    if len(value) >= ANYWHERE_LENGTH and not value.isalpha():
        return True
    # neither inside a word or hash, nor a run of digits of a longer decimal number
    pattern = rf"(?<![^\W_])(?<!\d\.){re.escape(value)}(?![^\W_])(?!\.\d)"
    return re.search(pattern, text) is not None


def _is_own(text: str) -> bool:
    words = re.findall(r"[^\W_]+", text.casefold())
    return all(word in OWN_WORDS for word in words)


def _is_plain_array(path: Path) -> bool:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:
        return False
    return (
        array.dtype.kind in "fiub" and array.dtype.names is None and array.offset + array.nbytes == path.stat().st_size
    )
