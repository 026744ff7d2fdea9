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


@dataclasses.dataclass(frozen=True, slots=True)
class Simulated:
    """What was simulated of runs of one design.

    Parameters
    ----------
    design
        In the words of ``design_of``.
    rates
        From 1,000 studies each.
    power
        Proportion of 250 studies each in which a first model is promoted, by the true AUC of its groups' ensembles.
    """

    design: str
    rates: tuple[ErrorRate, ...]
    power: dict[float, float] = dataclasses.field(default_factory=dict)


NULL = ErrorRate("a first model is promoted although the images hold no signal", 0.049, 0.055)
EQUAL = ErrorRate("an equally good challenger is refused", 0.053, 0.10)
LOSS = ErrorRate("a challenger that has lost .10 of AUC is promoted", 0.030, 0.05)
POWER = {0.60: 0.32, 0.67: 0.68, 0.75: 0.92, 0.81: 1.0}
#: Splits by centre: the first rate, by the number of centres; and how often a good model is refused for one centre.
NULL_BY_CENTRES = {number: dataclasses.replace(NULL, found=found) for number, found in ((4, 0.053), (5, 0.037))}
CENTRE = ErrorRate("a model that is equally good at all centres is refused by the rule Centre", 0.011, 0.05)


def design_of(unit: str, groups: int, members: int) -> str:
    """A run's design in words.

    Parameters
    ----------
    unit
        Unit of splitting.
    groups, members
        Numbers of groups, and of networks in all of them.
    """
    each = members // groups
    if unit == "centre":
        return f"{groups} centres left out in turn, {each} networks for each"
    return f"{groups} groups of {each} networks, split by {unit}"


_GROUPS = Simulated(design_of("patient", 5, 50), (NULL, EQUAL, LOSS), POWER)
_CENTRES = {
    4: Simulated(design_of("centre", 4, 40), (NULL_BY_CENTRES[4], CENTRE)),
    5: Simulated(design_of("centre", 5, 50), (NULL_BY_CENTRES[5],)),
}


def simulated_for(design: str) -> Simulated:
    """What was simulated of a design, or else of the default one, whose ``design`` then differs."""
    return next((one for one in _CENTRES.values() if one.design == design), _GROUPS)
