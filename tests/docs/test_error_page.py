"""docs/errors.md names every error that the code makes, and says what it says."""

from serving.errors import CODES
from tests.docs.error_page import PAGE, documented_codes, errors_of, made_errors, page


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text() == page(), "`make docs` writes it"


def test_every_code_has_a_row():
    codes = documented_codes(page())
    assert {made.code for made in made_errors()} <= codes
    assert {code for of_status in CODES.values() for code in of_status} <= codes
    assert len(codes) > 200


def test_every_error_that_the_predictor_answers_says_what_to_do():
    answered = {code for of_status in CODES.values() for code in of_status}
    silent = [made for made in made_errors() if made.code in answered and not made.hint]
    assert not silent


BRANCHES = """
AGAIN = "Try again."
def read(kind):
    hint = "First."
    if kind == 1:
        hint = "Wait."
        return StorageError("LOCKED", "locked", hint)
    if kind == 2:
        message, hint = "no", "Ask."
    else:
        message = f"never {kind}"
    for _ in range(2):
        hint = AGAIN
    raise StorageError("REFUSED", message, hint)
def other():
    hint = "Of another function."
"""


def test_a_message_and_a_hint_are_those_that_reach_the_error():
    made = {one.code: (one.message, one.hint) for one in errors_of(BRANCHES, "components/x.py")}
    assert made["LOCKED"] == ("locked", "Wait.")
    assert made["REFUSED"] == ("no / never ‹kind›", "First. / Ask. / Try again.")


IMPORTED = """
from components.common.defaults import COHORT_TABLE as TABLE
def read():
    raise InputError("MISSING", f"no {TABLE}", "Give it.")
"""


def test_a_constant_of_another_module_is_spelt_out():
    assert [made.message for made in errors_of(IMPORTED, "components/x.py")] == ["no cohort.csv"]


def test_the_hints_are_those_that_users_see():
    rows = {line.split("`")[1]: line for line in page().splitlines() if line.startswith("| `")}
    assert "Another program holds its lock" in rows["MLFLOW_LOCKED"]
    assert "backup" not in rows["MLFLOW_LOCKED"]
    assert "write permission" in rows["MLFLOW_READONLY"]
    assert "--ca-file" in rows["KFP_TLS"]
    assert "access keys" in rows["S3_REFUSED"]
