"""docs/errors.md names every error that the code makes, and says what it says."""

from serving.errors import CODES
from tests.docs.error_page import PAGE, documented_codes, made_errors, page


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text() == page(), "`make docs` writes it"


def test_every_code_has_a_row():
    codes = documented_codes(page())
    assert {made.code for made in made_errors()} <= codes
    assert {code for of_status in CODES.values() for code in of_status} <= codes
    assert len(codes) > 200
