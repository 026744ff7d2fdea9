"""Decodes a table's file from UTF-8 or UTF-16, and refuses files of other formats by name."""

import codecs
import io
import zipfile

from components.common.errors import InputError

UNREADABLE = "COHORT_UNREADABLE"
SAVE_AS = 'In the spreadsheet program choose File, Save as, "CSV UTF-8", and use that file.'

#: First bytes of file formats that users mistake for CSV.
MAGIC = (
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls) or one with a password"),
    (b"%PDF", "a PDF document"),
    (b"{\\rtf", "an RTF document"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
)
#: The same for text, whatever its encoding.
TEXT_MAGIC = (("<", "HTML or XML"), ("{", "JSON"), ("[", "JSON"))
#: Names inside the zips that spreadsheet programs write, in the order in which they are checked.
ZIP_KINDS = (
    ("xl/", "an Excel workbook (.xlsx)"),
    ("content.xml", "an OpenDocument spreadsheet (.ods)"),
    ("Index", "an Apple Numbers document (.numbers)"),
)
#: Bytes at the start that are examined for UTF-16: a header of ASCII names has a zero in every second one.
UTF16_HEAD = 64


def text_of(data: bytes) -> str:
    """The text of a table's bytes; bytes that are not UTF-8 become lone surrogates, which the caller can locate.

    Raises
    ------
    InputError
        ``COHORT_UNREADABLE``, which names the format that the file has instead.
    """
    if kind := _kind(data):
        raise _refusal(f"the cohort table is {kind}, not CSV text")
    text = _decoded(data)
    for start, kind in TEXT_MAGIC:
        if text.lstrip("\ufeff \t\r\n").startswith(start):
            raise _refusal(f"the cohort table is {kind}, not CSV text")
    return text


def encoding_of(data: bytes) -> str:
    """UTF-8, or UTF-16 where the file begins with its byte order mark."""
    return "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def _decoded(data: bytes) -> str:
    if encoding_of(data) == "utf-8-sig":
        head = data[:UTF16_HEAD]
        if any(head[first::2].count(0) * 2 > len(head[first::2]) for first in (0, 1)):
            raise _refusal("the cohort table is UTF-16 text without a byte order mark")
        return data.decode("utf-8-sig", "surrogateescape")
    try:
        return data.decode("utf-16")
    except UnicodeDecodeError as error:
        raise _refusal(f"the cohort table is UTF-16 text that is damaged at byte {error.start + 1}") from None


def _kind(data: bytes) -> str:
    """The format of a file by its first bytes; "" where it may be text."""
    if data.startswith(b"PK\x03\x04"):
        return _zip_kind(data)
    if data[128:132] == b"DICM":
        return "a DICOM file"
    return next((kind for magic, kind in MAGIC if data.startswith(magic)), "")


def _zip_kind(data: bytes) -> str:
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        names = []
    kinds = [kind for start, kind in ZIP_KINDS if any(name.startswith(start) for name in names)]
    return kinds[0] if kinds else "a zip archive"


def _refusal(message: str) -> InputError:
    return InputError(UNREADABLE, message, SAVE_AS)
