"""Error rates of the gate with its default settings, for a cohort of the paper's size: what the model card prints.

``make inference`` simulates them; each is from 1,000 studies of linear learners. docs/inference.md explains them.
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
ERROR_RATES = (NULL, EQUAL, LOSS)
