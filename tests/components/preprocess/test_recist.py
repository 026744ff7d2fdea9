import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.preprocess.recist import RESPONSES, bed10_gy, contradictions, label_of, response_of


@pytest.mark.parametrize(
    ("baseline", "follow_up", "nadir", "response"),
    [
        (20, 0, None, "CR"),
        (20, 0, 0, "CR"),
        (20, 14, None, "PR"),
        (20, 14.1, None, "SD"),
        (10, 7.0, None, "PR"),
        (30, 21.0, None, "PR"),
        (20, 20, None, "SD"),
        (20, 24.9, None, "SD"),  # 24.5 % but less than 5 mm
        (20, 25, None, "PD"),
        (30, 35.9, None, "SD"),  # 5.9 mm but less than 20 %
        (30, 36, None, "PD"),
        (25, 30, None, "PD"),
        (30, 16, 10, "PD"),  # grown from the nadir, though still smaller than at baseline
        (30, 14, 10, "PR"),
        (30, 5, 0, "PD"),  # reappeared after it had disappeared
        (20, 22, 30, "SD"),  # a nadir above baseline is ignored
    ],
)
def test_response_from_diameters(baseline, follow_up, nadir, response):
    assert response_of(baseline, follow_up, nadir) == response


LENGTHS = st.floats(0.1, 100)


@given(st.sampled_from(RESPONSES), LENGTHS, st.just(0.0) | LENGTHS, st.none() | LENGTHS)
def test_a_response_and_diameters_are_accepted_only_if_they_agree(response, baseline, follow_up, nadir):
    wrong = contradictions(response, baseline, follow_up, nadir)
    if nadir is not None and nadir > baseline + 1e-6:
        assert list(wrong) == ["nadir_diameter_mm"]
    elif response_of(baseline, follow_up, nadir) == response:
        assert not wrong
    else:
        assert list(wrong) == ["response"]
        assert f"give {response_of(baseline, follow_up, nadir)} by RECIST 1.1" in wrong["response"]


@pytest.mark.parametrize(
    ("diameters", "columns"),
    [
        ((None, None, None), []),
        ((18.0, None, None), []),
        ((18.0, None, 12.0), []),
        ((18.0, 20.0, 18.0), []),
        ((None, 20.0, None), ["follow_up_diameter_mm"]),
        ((None, 20.0, 18.0), ["follow_up_diameter_mm", "nadir_diameter_mm"]),
        ((18.0, None, 18.1), ["nadir_diameter_mm"]),
    ],
)
def test_contradicting_diameters_are_refused(diameters, columns):
    for response in (None, "SD"):
        assert list(contradictions(response, *diameters)) == columns


def test_responders_are_0_and_non_responders_1():
    assert [label_of(response) for response in ("CR", "PR", "SD", "PD")] == [0, 0, 1, 1]


@pytest.mark.parametrize(("dose", "fractions", "bed"), [(24, 3, 43.2), (20, 1, 60), (48, 4, 105.6)])
def test_biologically_effective_dose(dose, fractions, bed):
    assert bed10_gy(dose, fractions) == pytest.approx(bed)
