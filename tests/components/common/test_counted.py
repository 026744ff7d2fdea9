import pytest

from components.common.counted import counted


@pytest.mark.parametrize(("number", "text"), [(0, "0 tumours"), (1, "1 tumour"), (2, "2 tumours")])
def test_a_noun_agrees_with_its_number(number, text):
    assert counted(number, "tumour") == text


def test_another_plural_is_taken():
    assert [counted(number, "was", "were") for number in (1, 2)] == ["1 was", "2 were"]
