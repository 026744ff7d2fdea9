"""Digests by which a bundle recognises its patients and tumours."""

import numpy as np

from components.model.seen import crop_digests, patient_digest, patient_digests
from tests.components.model.bundles import draw_crops


def test_digests_are_keyed_and_do_not_reveal_patients():
    assert patient_digest("study", "P1") != patient_digest("other", "P1")
    assert len(patient_digest("study", "P1")) == 64
    assert patient_digests("study", ["P2", "P1", "P2"]) == tuple(
        sorted(patient_digest("study", p) for p in ("P1", "P2"))
    )


def test_one_image_has_one_digest_however_its_last_bits_were_rounded():
    rng = np.random.default_rng(1)
    crops = draw_crops(40, rng)
    digests = crop_digests("study", crops)
    rounded = np.nextafter(crops, np.where(rng.random(crops.shape) < 0.5, np.inf, -np.inf).astype(np.float32))
    assert (rounded != crops).all()
    assert crop_digests("study", rounded) == digests
    assert len(set(digests)) == 40
    assert not set(digests) & set(crop_digests("other", crops))


def test_a_shift_by_a_millimetre_is_another_image():
    crops = draw_crops(5, np.random.default_rng(2))
    assert not set(crop_digests("study", crops)) & set(crop_digests("study", np.roll(crops, 4, axis=2)))


def test_no_crop_is_a_block_mean_of_another_size():
    """The blocks cover all 151 pixels: any one pixel that changes enough changes the digest."""
    crop = np.zeros((1, 151, 151), np.float32)
    for row, column in ((0, 0), (150, 150), (75, 18), (19, 150)):
        other = crop.copy()
        other[0, row, column] = 3000.0
        assert crop_digests("s", other) != crop_digests("s", crop), (row, column)
