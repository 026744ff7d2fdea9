"""Encodings of CSV text, and the messages for files of other formats."""

import io
import zipfile

import pytest

from components.common.csv_text import text_of
from components.common.errors import InputError

TEXT = "tumour_id,patient_id\nt1,Müller\n"


def zip_of(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_with_a_byte_order_mark(encoding):
    assert text_of(TEXT.encode(encoding)) == TEXT


def test_both_byte_orders():
    assert text_of(b"\xfe\xff" + TEXT.encode("utf-16-be")) == text_of(b"\xff\xfe" + TEXT.encode("utf-16-le")) == TEXT


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (zip_of("[Content_Types].xml", "xl/workbook.xml"), "Excel workbook (.xlsx)"),
        (zip_of("mimetype", "content.xml"), "OpenDocument spreadsheet"),
        (zip_of("Index/Document.iwa", "Metadata/Properties.plist"), "Apple Numbers"),
        (zip_of("readme.txt"), "a zip archive"),
        (b"PK\x03\x04 and then nothing", "a zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel workbook"),
        (b'{"tumour_id": "t1"}', "JSON"),
        (b'\xef\xbb\xbf [{"tumour_id": "t1"}]', "JSON"),
        (b"\n<!DOCTYPE html><table>", "HTML or XML"),
        ("<?xml version='1.0'?><Workbook>".encode("utf-16"), "HTML or XML"),
        (b"{\\rtf1 x}", "RTF"),
        (b"%PDF-1.7", "PDF"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"PAR1", "Parquet"),
        (b"SQLite format 3\0", "SQLite"),
        (bytes(128) + b"DICM", "DICOM"),
        (TEXT.encode("utf-16-le"), "UTF-16 text without a byte order mark"),
        (TEXT.encode("utf-16-be"), "UTF-16 text without a byte order mark"),
        (TEXT.encode("utf-16") + b"x", "damaged at byte 65"),
    ],
)
def test_other_formats_are_named_with_a_hint_how_to_save_them(data, words):
    with pytest.raises(InputError) as caught:
        text_of(data)
    assert caught.value.code == "COHORT_UNREADABLE"
    assert words in caught.value.safe_message
    assert "CSV UTF-8" in caught.value.hint
