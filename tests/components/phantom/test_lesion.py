import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.phantom.lesion import longest_diameter_mm, sample_lesion

LESIONS = st.builds(
    lambda seed, diameter, necrosis: sample_lesion(np.random.default_rng(seed), (3.0, -4.0, 5.0), diameter, necrosis),
    st.integers(0, 10**6),
    st.floats(6, 42),
    st.floats(0, 1),
)


@given(LESIONS)
def test_the_longest_diameter_of_the_middle_section_is_the_requested_one(lesion):
    outline = lesion.outline_mm(5.0)
    assert longest_diameter_mm([outline]) == pytest.approx(lesion.diameter_mm, rel=0.02)


@given(LESIONS, st.floats(0, 2))
def test_margin_grows_the_outline_and_far_planes_are_missed(lesion, margin):
    assert np.ptp(lesion.outline_mm(5.0, margin), axis=0) == pytest.approx(
        np.ptp(lesion.outline_mm(5.0), axis=0) + 2 * margin, abs=0.8
    )
    assert lesion.outline_mm(5.0 + lesion.half_height_mm + 3) is None


@pytest.mark.parametrize(("necrosis", "sign"), [(0.0, 1), (1.0, -1)])
def test_centre_is_bright_or_dark_by_the_latent_and_the_rim_bright(necrosis, sign):
    lesion = sample_lesion(np.random.default_rng(1), (0.0, 0.0, 0.0), 24.0, necrosis)
    line = np.linspace(-20, 20, 161, dtype=np.float32)
    brain = np.full((161, 161), 35, np.float32)
    hu = lesion.paint(brain, line, line, 0.0, np.zeros_like(brain))
    assert np.sign(hu[80, 80] - 35) == sign
    rim = lesion.outline_mm(0.0)[0] * (1 - 0.5 * lesion.rim_part)
    assert hu[np.abs(line - rim[1]).argmin(), np.abs(line - rim[0]).argmin()] > 50
    assert hu[0, 0] == 35
