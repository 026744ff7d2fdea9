"""A named agent is a yes, words for none are a no, and everything that leaves it open is unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.imaging.contrast_agent import CONTRAST_WORDS, contrast_word


@pytest.mark.parametrize(
    "agent",
    [
        "OMNIPAQUE", "Omnipaque 300 100cc", "APPLIED", "IV", "CE", "YES", "Contrast", "Ultravist 370", "JOPAMIRON",
        "80 ML", "Non-ionic", "NONIONIC & ORAL", "Novisipaque", "오므니파큐", "Lindqvist",
    ],
)  # fmt: skip
def test_a_text_that_is_no_negation_names_an_agent(agent):
    assert contrast_word(agent) == "yes"


@pytest.mark.parametrize(
    "agent",
    [
        "NONE", "none", "NO", "No.", "N", "W/O", "without", "WITHOUT IV CONTRAST", "No I.V. contrast given",
        "non contrast", "NON-CONTRAST",
        "not given", "NONE GIVEN", "ohne", "ohne KM", "kein Kontrastmittel", "nativ", "Native", "PLAIN",
        "unenhanced", "Sans", "senza mezzo di contrasto", "sin contraste", "0", "00", "FALSE", "없음", "なし", "無",
    ],
)  # fmt: skip
def test_words_for_none(agent):
    assert contrast_word(agent) == "no"


@pytest.mark.parametrize(
    "agent",
    [
        "", " ", "-", "...", "UNKNOWN", "N/A", "Not known", "XXXX", "Anonymized", "REMOVED", "No oral",
        "no oral contrast", "NO IODINE; GD",
    ],
)  # fmt: skip
def test_texts_that_leave_it_open(agent):
    assert contrast_word(agent) is None


@given(st.text())
def test_no_text_leaves(agent):
    assert contrast_word(agent) in (None, *CONTRAST_WORDS)


def test_a_long_negation_takes_no_longer_than_its_words():
    """Overlapping alternatives would take exponential time here."""
    assert contrast_word("no " + "contrast " * 5000 + "!?x") is None
