"""Makes the lesions of one patient alike, in label and in appearance, by a chosen part of the variance."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]

APPEARANCES = 14  # parameters of a lesion's appearance besides its necrosis and its size
TRIES = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Likeness:
    """What the lesions of one patient have in common.

    Parameters
    ----------
    share
        Part of the variance of each normal score that is common, 0 to 1.
    necrosis, size
        The patient's normal scores of the latent necrosis and of the diameter.
    appearance
        The patient's normal scores of the other parameters of appearance, ``APPEARANCES`` in number.
    """

    share: float = 0.0
    necrosis: float = 0.0
    size: float = 0.0
    appearance: tuple[float, ...] = (0.0,) * APPEARANCES

    def blend_necrosis(self, score: float) -> float:
        """A lesion's normal score, from the patient's and the lesion's own ``score``; its distribution is the same."""
        return float(np.sqrt(1 - self.share) * score + np.sqrt(self.share) * self.necrosis)

    def blend_size(self, uniform: float) -> float:
        """As ``blend_necrosis``, for a sample of the uniform distribution on 0 to 1."""
        return float(self._blend(np.array([uniform]), (self.size,))[0])

    def blend_appearance(self, uniforms: Floats) -> Floats:
        """As ``blend_size``, for ``APPEARANCES`` samples."""
        return self._blend(uniforms, self.appearance)

    def _blend(self, uniforms: Floats, common: tuple[float, ...]) -> Floats:
        if not self.share:  # exactly the given samples
            return uniforms
        return np.asarray(ndtr(np.sqrt(1 - self.share) * ndtri(uniforms) + np.sqrt(self.share) * np.array(common)))


#: Lesions of one patient that have nothing in common.
UNLIKE = Likeness()


def sample_likeness(rng: np.random.Generator, share: float) -> Likeness:
    """Samples what the lesions of one patient have in common."""
    necrosis, size, *appearance = (float(score) for score in rng.standard_normal(2 + APPEARANCES))
    return Likeness(share, necrosis, size, tuple(appearance))


def sample_labels(rng: np.random.Generator, patient_of: Integers, responders: int, correlation: float) -> Integers:
    """Samples labels whose intraclass correlation within patients is given, while the number of responders is exact.

    Each lesion takes its patient's label with probability sqrt(``correlation``), and otherwise one of its own, so that
    two lesions of a patient share a label by design with probability ``correlation``.

    Parameters
    ----------
    rng
        Samples the labels.
    patient_of
        Index of each lesion's patient, [lesions].
    responders
        Number of lesions with the label 0.
    correlation
        0 to 1. At 1 a patient has one label, except one patient where the numbers allow it in no other way.

    Returns
    -------
    0 for a responder and 1 for a non-responder, [lesions].
    """
    takes = rng.random(len(patient_of)) < np.sqrt(correlation)
    own = np.arange(len(patient_of)) + len(patient_of)  # differs from the index of every patient
    _, units, sizes = np.unique(np.where(takes, patient_of, own), return_inverse=True, return_counts=True)
    for _ in range(TRIES):  # random orders in which the responders end together with a unit
        rank = rng.permutation(len(sizes))
        if responders in np.cumsum(sizes[np.argsort(rank)]):
            break
    labels = np.ones(len(patient_of), int)
    labels[np.argsort(rank[units], kind="stable")[:responders]] = 0
    return labels
