import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from components.common.errors import BundleError
from components.imaging.crop import KNOWN_VERSIONS, ImageDefinition, bounding_box_centre_mm, cut_crop
from components.imaging.geometry import SliceGeometry
from tests.components.imaging.slices import in_mm

DEFINITION = ImageDefinition()
PITCH = 40 / 151


def plane(geometry, shape, value_at):
    """A slice whose HU is a function of LPS x, y."""
    rows, cols = np.indices(shape)
    xy = in_mm(geometry, np.column_stack([rows.ravel(), cols.ravel()]))
    return value_at(xy[:, 0], xy[:, 1]).reshape(shape).astype(np.float32)


@st.composite
def geometries(draw):
    """Any spacing of a planning CT, either sign of each axis, swapped or rotated axes, any offset; 160 mm of image."""
    row, column = draw(st.floats(0.4, 1.5)), draw(st.floats(0.4, 1.5))
    angle = draw(st.sampled_from([0, 90, 180, 270, 0.2, 17.0])) * np.pi / 180
    mirrored = draw(st.sampled_from([1, -1]))
    column_step = column * np.array([np.cos(angle), np.sin(angle)])
    row_step = row * mirrored * np.array([-np.sin(angle), np.cos(angle)])
    shape = (int(160 / row), int(160 / column))
    centre = np.array([draw(st.floats(-300, 300)), draw(st.floats(-300, 300))])
    origin = centre - row_step * (shape[0] - 1) / 2 - column_step * (shape[1] - 1) / 2
    return SliceGeometry(tuple(origin), tuple(column_step), tuple(row_step)), shape, centre


@settings(max_examples=60)
@given(geometries(), st.floats(-25, 25), st.floats(-25, 25))
def test_every_crop_pixel_shows_its_own_millimetre(drawn, dx, dy):
    """A slice that is linear in x and y is reproduced by linear interpolation: centre and scale."""
    geometry, shape, centre = drawn
    middle = (centre[0] + dx, centre[1] + dy)
    offsets = (np.arange(151) - 75) * PITCH
    for axis in (0, 1):
        image = plane(geometry, shape, lambda x, y, axis=axis: (x, y)[axis] - middle[axis])
        crop = cut_crop(image, geometry, middle, DEFINITION)
        wanted = np.broadcast_to(offsets if axis == 0 else offsets[:, None], (151, 151))
        assert np.abs(crop - wanted).max() < 0.2 * PITCH


@settings(max_examples=30)
@given(geometries(), st.floats(6, 15), st.floats(6, 15))
def test_an_ellipse_lies_in_the_middle_at_its_size(drawn, half_width, half_height):
    geometry, shape, centre = drawn
    contour = np.column_stack(
        [
            centre[0] + half_width * np.cos(np.linspace(0, 2 * np.pi, 400)),
            centre[1] + half_height * np.sin(np.linspace(0, 2 * np.pi, 400)),
        ]
    )

    def soft_ellipse(x, y):
        radius = np.hypot((x - centre[0]) / half_width, (y - centre[1]) / half_height)
        return 500.0 * np.clip(2 - radius, 0, 1)

    crop = cut_crop(plane(geometry, shape, soft_ellipse), geometry, bounding_box_centre_mm([contour]), DEFINITION)
    weights = crop.astype(float) / crop.sum()
    rows, cols = np.indices(crop.shape)
    assert (rows * weights).sum() == pytest.approx(75, abs=0.2)
    assert (cols * weights).sum() == pytest.approx(75, abs=0.2)


@settings(max_examples=20)
@given(geometries(), st.integers(0, 2**31))
def test_agrees_with_another_implementation(drawn, seed):
    geometry, shape, centre = drawn
    image = np.random.default_rng(seed).integers(-1000, 1500, shape).astype(np.float32)
    other = RegularGridInterpolator((np.arange(shape[0]), np.arange(shape[1])), image)
    y, x = np.meshgrid(*(centre[axis] + (np.arange(151) - 75) * PITCH for axis in (1, 0)), indexing="ij")
    expected = other(geometry.to_pixel(np.column_stack([x.ravel(), y.ravel()]))).reshape(151, 151)
    assert np.abs(cut_crop(image, geometry, tuple(centre), DEFINITION) - expected).max() < 0.1


def test_rows_run_along_y_and_columns_along_x_for_any_scan_orientation():
    geometry = SliceGeometry((60.0, 60.0), (-1.0, 0.0), (0.0, -1.0))
    crop = cut_crop(plane(geometry, (121, 121), lambda x, y: 10 * x + y), geometry, (0.0, 0.0), DEFINITION)
    assert crop[75, 100] > crop[75, 50]
    assert crop[100, 75] > crop[50, 75]
    assert crop.dtype == np.float32
    assert crop.shape == (151, 151)


def test_beyond_the_scan_is_air():
    geometry = SliceGeometry((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    crop = cut_crop(np.full((64, 64), 40, np.float32), geometry, (0.0, 30.0), DEFINITION)
    assert (crop[:, :75] == -1000).all()
    assert (crop[:, 75:] == 40).all()


def test_a_constant_scan_stays_constant():
    geometry = SliceGeometry((-50.0, -50.0), (0.7, 0.0), (0.0, 0.9))
    assert (cut_crop(np.full((150, 150), 37, np.float32), geometry, (3.3, 4.4), DEFINITION) == 37).all()


def test_centre_is_that_of_the_bounding_box_of_all_contours():
    contours = [np.array([[0.0, 0], [2, 0], [1, 3]]), np.array([[10.0, -4], [11, -4], [12, 0]])]
    assert bounding_box_centre_mm(contours) == (6, -0.5)


def test_a_definition_survives_the_round_trip_through_json_with_its_digest():
    definition = ImageDefinition(slice_rule="largest")
    assert ImageDefinition.from_dict(definition.to_dict()) == definition
    assert definition.version in KNOWN_VERSIONS
    assert definition.digest == ImageDefinition.from_dict(definition.to_dict()).digest != DEFINITION.digest


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"version": None}, {"version": True}, {"interpolation": "cubic"}, {"size_px": 0},
        {"size_px": "151"}, {"size_mm": -1.0}, {"slice_rule": "first"}, {"centre": "centroid"},
        {"axes": "RAS"}, {"window": [40, 80]},
    ],
)  # fmt: skip
def test_refuses_a_definition_it_cannot_cut(change):
    with pytest.raises(BundleError) as caught:
        ImageDefinition.from_dict({**DEFINITION.to_dict(), **change})
    assert caught.value.code == "IMAGE_DEFINITION_UNKNOWN"


def test_refuses_a_definition_that_lacks_a_field():
    fields = DEFINITION.to_dict()
    del fields["axes"]
    with pytest.raises(BundleError):
        ImageDefinition.from_dict(fields)
