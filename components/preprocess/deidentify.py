"""Pseudonyms by key, and an audit that fails the step where identity is left in what it wrote."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from components.common.artifacts import TUMOUR_COLUMNS, Exclusion, Flow
from components.common.errors import InputError
from components.common.sources import Entry, Source, locate
from components.preprocess.crop import ImageDefinition
from components.preprocess.dicom_io import HEADERS_AT_ONCE, PIXEL_GROUP, read_header
from components.preprocess.exclusions import REASONS
from components.preprocess.identity import SHORTEST_NAME, SHORTEST_VALUE, identities_in
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
_FILES = "uid layout kind version digest files json csv npy crops tumours definition cohort dataset synthetic phantom"
#: Words that outputs hold whatever the patients are called: a patient named Stem must not fail every run.
OWN_WORDS = frozenset(
    re.findall(r"[^\W\d_]+", " ".join([*_TERMS, _VALUES, _DEVICES, _FILES, str(ImageDefinition())]).casefold())
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

    def _code(self, kind: str, text: str) -> str:
        digest = hmac.new(self._key, f"{kind}\0{text}".encode(), hashlib.sha256).digest()
        return base64.b32encode(digest).decode().lower()[:PSEUDONYM_LENGTH]


def identities_of(source: Source, rows: Iterable[Row]) -> dict[str, str]:
    """All identity in a cohort's table and DICOM headers: text -> the column or attribute it stands in.

    Folders that cannot be read hold nothing that could have been written; they are passed over.
    """
    found: dict[str, str] = {}
    folders: dict[str, None] = {}
    for row in rows:
        texts = (("patient_id", row.patient_id), ("tumour_id", row.tumour_id), ("rtstruct_uid", row.rtstruct_uid))
        found |= {text: f"column {name}" for name, text in texts if len(text) >= SHORTEST_VALUE}
        folder_name = row.dicom.rstrip("/").rpartition("/")[2]
        found |= {folder_name: "column dicom"} if len(folder_name) >= SHORTEST_VALUE else {}
        folders[row.dicom] = None
    with ThreadPoolExecutor(HEADERS_AT_ONCE) as pool:
        for dicom in folders:
            try:
                where, prefix = locate(source, dicom)
                parts = pool.map(partial(_identities_of_file, where), where.list(prefix))
            except InputError:
                continue
            for part in parts:
                found |= part
    return found


def _identities_of_file(source: Source, entry: Entry) -> dict[str, str]:
    try:
        header = read_header(source, entry, PIXEL_GROUP - 1)
    except InputError:
        return {}
    return identities_in(header) if header else {}


def audit(folder: Path, identities: Iterable[str]) -> None:
    """Refuses a folder in whose file names, texts or metadata identity is left.

    Values of 8 or more characters that are not plain letters are looked for anywhere, case-blind; shorter ones and
    parts of names as whole words. ``.npy`` files are checked by dtype and shape: numbers hold no text.

    Parameters
    ----------
    folder
        What a step wrote.
    identities
        Texts to look for; a mapping says where each came from.

    Raises
    ------
    InputError
        ``IDENTITY_LEFT``, naming file and attribute, never the value.
    """
    kinds: dict[str, str] = {}
    for text in identities:
        kind = identities[text] if isinstance(identities, Mapping) else "an identity"
        if len(text) >= SHORTEST_NAME and not _is_own(text):
            kinds[text.casefold()] = kind
    problems = []
    for number, path in enumerate(sorted(p for p in folder.rglob("*") if p.is_file()), start=1):
        name = path.relative_to(folder).as_posix()
        in_name = _found(name.casefold(), kinds)
        shown = f"file {number} by name" if in_name else name
        problems += [f"{shown}: {kind} in the file's name" for kind in in_name]
        if path.suffix == ".npy":
            problems += [] if _is_plain_array(path) else [f"{shown}: not a plain array of numbers"]
        else:
            content = path.read_bytes().decode("utf-8", errors="replace").casefold()
            problems += [f"{shown}: {kind}" for kind in _found(content, kinds)]
    if problems:
        hint = "Nothing of this step is used. Tell the developers; do not share the folder."
        raise InputError.collected("IDENTITY_LEFT", "identity is left in what was written:", problems, hint)


def _found(text: str, kinds: Mapping[str, str]) -> list[str]:
    """Where identities found in ``text`` come from."""
    return sorted({kind for value, kind in kinds.items() if value in text and _matches(value, text)})


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
