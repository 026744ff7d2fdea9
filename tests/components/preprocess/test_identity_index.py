import base64
import json
from html import escape
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from components.preprocess.identity_index import IdentityIndex
from components.preprocess.names import SHORTEST_WITH_INITIAL, TITLES


def found(identity, attribute, text):
    index = IdentityIndex()
    index.learn(identity, attribute)
    return index.found_in(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Lindqvist^Brunhilde", "for LINDQVIST, B"), ("Lindqvist^Brunhilde", "b.lindqvist@example.org"),
        ("Lindqvist^Brunhilde", "BrunhildeLindqvist"), ("Lindqvist^Brunhilde", "blindqvist"),
        ("Lindqvist^Brunhilde", "lindqvist_2"),
        ("Lindqvist^Brunhilde", "Ｌｉｎｄｑｖｉｓｔ"), ("Lindqvist^Brunhilde", "Lind\u00adqvist"),
        ("Öberg^Åke", "oberg"),
        ("Öberg^Åke", "OEBERG"), ("Öberg^Åke", "O\u0308berg"), ("Öberg^Åke", "aake"), ("Oeberg^A", "Öberg"),
        ("Strauß^A", "STRAUSS"),
        ("Yıldız^A", "YILDIZ"), ("İnan^A", "inan"), ("Łuk^A", "luk"), ("Ĳssel^A", "ijssel"), ("ﬁnch^A", "Finch"),
        ("Nguyễn^A", "nguyen"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "홍길동님"), ("Hong^Gildong=洪^吉洞=홍^길동", "洪吉洞"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "길동"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "the 洪 family"), ("Hong^Gildong=洪^吉洞=홍^길동", "Hong, G."),
        ("홍^길동", "홍 길동"),
        ("ヤマダ^タロウ", "ﾔﾏﾀﾞ様"), ("Kim^A", "Kim님"), ("Kim^A", "Kim1.dcm"), ("김민수", "민수"),
        ("Li^Bo", "seen by li"), ("Ng^A", "NG"), ("Do^Van Minh", "Do"),
        ("An^B", "An"), ("Min^A", "Min"),
        ("van der Berg^Anna", "Berg"), ("van der Berg^Anna", "vanderberg"), ("Meyer-Lüden^Jo", "Luden"),
        ("O'Brien^A", "obrien"),
        ("O'Brien^A", "O’Brien"), ("Smith^J", "J. Smith"), ("Smith^J", "jsmith"), ("Иванова^Мария", "ИВАНОВА"),
        ("Anna Meyer", "meyer"), ("Meyer, Anna", "anna"),
    ],
)  # fmt: skip
def test_a_name_is_found_by_its_parts(name, text):
    assert found(name, "PatientName", text) == {"PatientName"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Lindqvist^Brunhilde^^Dr", "lindqvistian"), ("Lindqvist^Brunhilde^^Dr", "Dr"),
        ("van der Berg^Anna", "van der Waals"),
        ("Li^X", "lid X-ray"), ("Min^A", "minor"), ("Min^A", "T-ab2min7cde"), ("Ada^Bee", "3f9adabee0c41d"),
        ("An^No", "no name in an output"),
        ("洪^吉洞", "洪水"),
    ],
)  # fmt: skip
def test_other_words_are_not_taken_for_a_name(name, text):
    assert not found(name, "PatientName", text)


@pytest.mark.parametrize(
    ("identifier", "text"),
    [
        ("MRN-7781234", "mrn7781234"), ("MRN-7781234", "MRN 7781234"), ("MRN-7781234", "xmrn-7781234y"),
        ("MRN-7781234", "7781234"),
        ("0047", "patient 47"), ("47", "patient 0047"), ("47", "47"), ("2000", "id 2000."), ("2000", "P2000"),
        ("18.0", "number 18"),
        ("510203-2345678", "5102032345678"), ("5102032345678", "510203-2345678"), ("12.345.678-9", "123456789"),
        ("A12", "a-012"),
        ("7781234", "7781234.0"), ("T1", "tumour T1"), ("AB 12/34", "ab1234"), ("A-1-7", "a17"),
    ],
)  # fmt: skip
def test_an_identifier_is_found_as_a_word(identifier, text):
    assert found(identifier, "PatientID", text) == {"PatientID"}


@pytest.mark.parametrize(
    ("identifier", "text"),
    [
        ("1234", "91234"), ("1234", "12345"), ("1234", "0.1234"), ("1234", "1234.5"), ("1234", "ab1234cd"),
        ("T1", "T12"), ("T1", "XT1"),
        ("18", "18.0 and 18.25"),
    ],
)  # fmt: skip
def test_digits_of_other_numbers_are_not_taken_for_an_identifier(identifier, text):
    assert not found(identifier, "PatientID", text)


@pytest.mark.parametrize("text", ["18.0", "FALSE", "HU", "CT", "63", "1", "0.488281", "None", "1e-5", "Y", "12.5, 3.0"])
def test_private_numbers_flags_and_codes_are_not_identity(text):
    assert not found(text, "private attribute (0043,1063) of GEMS_PARM_01", f"a {text} b")


@pytest.mark.parametrize(
    ("value", "attribute", "text"),
    [
        ("St Elsewhere", "InstitutionName", "at ST ELSEWHERE"), ("Tumor board 3", "StudyDescription", "tumor_board_3"),
        ("+49 40 123-456", "PatientTelephoneNumbers", "4940123456"),
        ("+49 171 5551234", "PatientTelephoneNumbers", "0171/555 12 34"),
        ("서울대학교병원", "InstitutionName", "서울대학교병원에서"),
        ("seen by\nDr Kettle", "PatientComments", "Dr Kettle"),
        ("Brunhilde^Lindqvist", "private attribute", "lindqvist"),
        ("20140506", "private attribute", "6.5.2014"), ("20140506", "StudyDate", "٢٠١٤-٠٥-٠٦"),
        ("20140506101530", "AcquisitionDateTime", "10:15:30"), ("7781234", "private attribute", "7781234"),
    ],
)  # fmt: skip
def test_other_values_are_found(value, attribute, text):
    assert found(value, attribute, text) == {attribute}


@pytest.mark.parametrize(
    "text", ["slice 1.2.826.0.1.3680043.8.498.1234", "CT.1.2.840.113619.2.55.dcm", "(1.2.840.10008.5.1)"]
)
def test_uids_are_found_by_their_form(text):
    assert IdentityIndex().found_in(text) == {"a UID"}
    assert not IdentityIndex().found_in("version 3.11.7, at 127.0.0.1")


LETTERS = st.characters(categories=["Lu", "Ll", "Lo"], max_codepoint=0xFFFF)
ENCODINGS = (
    str, str.upper, quote, escape, json.dumps, lambda text: f"x {text}.", lambda text: f"{text}_7",
    lambda text: f'say="{text}"',
    lambda text: base64.b64encode(text.encode()).decode(), lambda text: text.encode().hex(),
    lambda text: text.encode().decode("latin-1"),
)  # fmt: skip


@given(st.text(LETTERS, min_size=4, max_size=12), st.sampled_from(ENCODINGS))
def test_any_family_name_is_found_in_any_encoding(family, encode):
    assume(family.isprintable() and family.casefold() not in TITLES)
    assert found(f"{family}^X", "PatientName", encode(family)) == {"PatientName"}


@given(
    st.text(st.characters(categories=["Ll"], max_codepoint=0x7F), min_size=SHORTEST_WITH_INITIAL, max_size=12),
    st.floats(),
)
def test_numbers_are_not_taken_for_names_or_dates(family, number):
    index = IdentityIndex()
    index.learn(f"{family}^X", "PatientName")
    index.learn("20140506", "StudyDate")
    assert not index.found_in(repr(number)) or family in repr(number)
