"""Samples the conditions of each patient's examination: centre, protocol of the CT, and contrast agent."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from components.phantom.faults import Faults
from components.phantom.scanner import COMMON, PROTOCOLS, Protocol

#: Enhancement that is left without contrast agent: tissue of a metastasis, and blood, are slightly denser than brain.
UNENHANCED = 0.15
#: Probability to be examined without contrast agent at a full confounder: of a responder and of a non-responder.
WITHOUT_AGENT = (0.15, 0.85)
#: Difference in the tendency to a later centre between non-responders and responders at a full effect, on the logistic
#: scale. Of two centres with equally many patients, the first then has about 34% non-responders and the second 63%.
TILT = 1.2


@dataclasses.dataclass(frozen=True, slots=True)
class Conditions:
    """How one patient was examined.

    Parameters
    ----------
    centre
        Number of the centre, from 1; 0 where the cohort has one centre only.
    relation
        Factor of the relation between image and response, -1 to 1.
    protocol
        Protocol of the CT.
    contrast_agent
        Whether contrast agent was given.
    """

    centre: int = 0
    relation: float = 1.0
    protocol: Protocol = COMMON
    contrast_agent: bool = True

    @property
    def enhancement(self) -> float:
        """Enhancement of lesions and vessels relative to contrast agent at 120 kV."""
        return self.protocol.iodine if self.contrast_agent else UNENHANCED


USUAL = Conditions()


def sample_conditions(
    rng: np.random.Generator, non_responders: NDArray[np.float64], faults: Faults
) -> list[Conditions]:
    """Samples the conditions of patients.

    Parameters
    ----------
    rng
        Samples the same numbers whatever the faults are, so that one of them does not change another.
    non_responders
        Part of each patient's lesions that do not respond, 0 to 1, [patients].
    faults
        Centres, and strengths of their effect and of the confounder.
    """
    own_protocol, without = rng.random((2, len(non_responders)))
    tendency = faults.centre_effect * TILT * non_responders + rng.logistic(size=len(non_responders))
    centres = np.argsort(np.argsort(tendency)) * faults.centres // max(1, len(non_responders))
    low, high = WITHOUT_AGENT
    withheld = without < faults.contrast_confounder * (low + (high - low) * non_responders)
    return [
        Conditions(
            centre=int(centre) + 1 if faults.centres > 1 else 0,
            relation=1 - 2 * faults.centre_effect if centre == faults.centres - 1 else 1.0,
            protocol=PROTOCOLS[centre] if own < faults.centre_effect else COMMON,
            contrast_agent=not bare,
        )
        for centre, own, bare in zip(centres, own_protocol, withheld, strict=True)
    ]
