"""What a bundle keeps of its development patients and tumours, so that another cohort's can be recognised.

Digests are keyed with the name of the study. Whoever has a patient's pseudonym, or the very same planning CT and
contour, can find out whether the model has seen them; nothing else can be read from a digest.
"""

import hashlib
import hmac
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

#: Blocks of a crop along each side, whose mean HU is compared. No two tumours agree in all of them.
BLOCKS = 8


def patient_digest(study: str, pseudonym: str) -> str:
    """Keyed digest of a patient's pseudonym, which shows only whether two bundles of a study share patients."""
    return hmac.new(study.encode(), pseudonym.encode(), hashlib.sha256).hexdigest()


def patient_digests(study: str, pseudonyms: Iterable[str]) -> tuple[str, ...]:
    """``patient_digest`` of each patient, sorted and without repetitions."""
    return tuple(sorted({patient_digest(study, one) for one in pseudonyms}))


def crop_digests(study: str, crops: NDArray[np.float32]) -> list[str]:
    """Keyed digests of crops [n, 151, 151] HU, equal for crops of the same slice and contour.

    The mean HU of 8 x 8 blocks is rounded, since processors differ in the last bits of an interpolated pixel.
    """
    edges = np.linspace(0, crops.shape[1], BLOCKS, endpoint=False).astype(int)
    sums = np.add.reduceat(np.add.reduceat(crops, edges, axis=1, dtype=np.float64), edges, axis=2)
    sides = np.diff([*edges, crops.shape[1]])
    means = np.rint(sums / np.outer(sides, sides)).astype("<i4")
    return [hmac.new(study.encode(), one.tobytes(), hashlib.sha256).hexdigest() for one in means]
