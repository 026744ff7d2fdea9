"""Error rates and power of the gate with its default settings, for a cohort of the paper's size, for the model card.

``make inference`` simulates them, in studies of linear learners. docs/inference.md explains them.
"""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class ErrorRate:
    """How often something happens.

    Parameters
    ----------
    question
        What is asked, as a card prints it.
    found
        Proportion of the simulated studies.
    most
        Largest proportion that is accepted.
    """

    question: str
    found: float
    most: float


NULL = ErrorRate("a first model is promoted although the images hold no signal", 0.049, 0.055)
EQUAL = ErrorRate("an equally good challenger is refused", 0.010, 0.10)
LOSS = ErrorRate("a challenger that has lost .10 of AUC is promoted", 0.049, 0.05)
#: From 1,000 studies each.
ERROR_RATES = (NULL, EQUAL, LOSS)
#: Proportion of 250 studies each in which a first model is promoted, by the true AUC of its groups' ensembles.
POWER = {0.60: 0.32, 0.67: 0.68, 0.75: 0.92, 0.81: 1.0}
