import pytest

from components.preprocess.recist import bed10_gy, label_of, response_of


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
        (30, 5, 0, "PD"),  # back after it had gone
        (20, 22, 30, "SD"),  # a nadir above baseline is none
    ],
)
def test_response_from_diameters(baseline, follow_up, nadir, response):
    assert response_of(baseline, follow_up, nadir) == response


def test_labels():
    assert [label_of(response) for response in ("CR", "PR", "SD", "PD")] == [0, 0, 1, 1]


@pytest.mark.parametrize(("dose", "fractions", "bed"), [(24, 3, 43.2), (20, 1, 60), (48, 4, 105.6)])
def test_bed10(dose, fractions, bed):
    assert bed10_gy(dose, fractions) == pytest.approx(bed)
