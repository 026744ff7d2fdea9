"""From files to crop with random geometry: a contour appears in the crop at its position and size."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.common.settings import PreprocessSettings
from components.imaging.gtv import find_gtvs

PITCH = 40 / 151
ORIENTATIONS = [
    (1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, 1, 0), (1, 0, 0, 0, -1, 0), (-1, 0, 0, 0, -1, 0),
    (0, 1, 0, 1, 0, 0), (0, -1, 0, 1, 0, 0), (0, 1, 0, -1, 0, 0), (0, -1, 0, -1, 0, 0),
]  # fmt: skip


@st.composite
def star(draw):
    """A star-shaped polygon about a middle off the centre of the scan, at most 28 mm wide."""
    radii = np.array(draw(st.lists(st.floats(6, 14), min_size=8, max_size=24)))
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False) + draw(st.floats(0, 6))
    middle = np.array([draw(st.floats(-10, 10)), draw(st.floats(-10, 10))])
    return np.round(middle + radii[:, None] * np.column_stack([np.cos(angles), np.sin(angles)]), 3)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(star(), st.floats(0.5, 1.4), st.floats(0.5, 1.4), st.sampled_from(ORIENTATIONS), st.booleans())
def test_a_polygon_survives_the_round_trip(make_study, polygon, row_mm, column_mm, orientation, by_uid):
    row_mm, column_mm = round(row_mm, 4), round(column_mm, 4)
    shape = (int(80 / row_mm), int(80 / column_mm))
    study = make_study(
        {"GTV": {3.0: [polygon]}}, spacing=(row_mm, column_mm), shape=shape, orientation=orientation, by_uid=by_uid
    )
    # HU rise by 10 per millimetre of x and fall by 5 per millimetre of y, so that the values identify positions
    ct = study.cts[2]
    steps = np.array(orientation, dtype=float).reshape(2, 3)[:, :2]
    rows, cols = np.indices(shape)
    x, y = (
        float(ct.ImagePositionPatient[k]) + cols * column_mm * steps[0, k] + rows * row_mm * steps[1, k] for k in (0, 1)
    )
    ct.RescaleSlope, ct.RescaleIntercept = 0.05, -1500
    ct.PixelData = np.round((10 * x - 5 * y - 400 + 1500) / 0.05).astype("<u2").tobytes()
    (found,) = find_gtvs(study.source(), "", PreprocessSettings())
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    centre = (low + high) / 2
    cx, cy = (centre[k] + (np.arange(151) - 75) * PITCH for k in (0, 1))
    expected = 10 * cx[None, :] - 5 * cy[:, None] - 400
    inside = found.crop != -1000
    assert inside.mean() > 0.6
    assert np.abs(found.crop - expected)[inside].max() < 0.2 * PITCH * 5
    px, py = polygon.T
    area = abs(np.sum(px * np.roll(py, -1) - py * np.roll(px, -1))) / 2
    assert np.isclose(found.area_mm2, area, rtol=1e-6)
    assert np.allclose((found.width_mm, found.height_mm), high - low)
    diameter = np.hypot(*(polygon[:, None] - polygon[None]).transpose(2, 0, 1)).max()
    assert np.isclose(found.longest_diameter_mm, diameter)
