"""Splits a person's name into the parts that identify the person on their own."""

import re
from collections.abc import Iterator, Sequence

from components.preprocess.words import is_unspaced, tokens

#: Titles and particles, which identify nobody on their own.
TITLES = frozenset(
    """
dr prof mr mrs ms miss sir herr frau mme mlle sr jr md phd dds rn ii iii iv van von der den de del della di da dos du la
le al el bin ibn ben abu zu zum zur ten ter af av e y und and the
""".split()  # noqa: SIM905
)
#: Index of the prefix among a name's components (PS3.5 6.2.1), after family, given and middle name.
PREFIX = 3
#: Shortest family name that is searched for with an initial before or after it.
SHORTEST_WITH_INITIAL = 4


def name_parts(spelling: str) -> set[str]:
    """Words of a name in lower case: family, given and other names, separate and joined, and with an initial.

    Titles and particles are left out, except where they are a whole family or given name (Do, Van).

    Parameters
    ----------
    spelling
        One component group of a PN value (PS3.5 6.2.1), or a name as people write it.
    """
    components = [_words(part) for part in re.split(r"[\^,]", spelling)]
    parts: set[str] = set()
    for index, words in enumerate(components):
        identifying = {word for word in words if word not in TITLES}
        parts |= identifying
        if index < PREFIX:
            parts |= {*(identifying or words), "".join(words)}
    if len(components) == 1 and is_unspaced(spelling):  # family and given name without a blank: 김민수
        parts |= {spelling[cut:] for cut in (1, 2) if len(spelling) - cut > 1}
    return parts | set(_joined([words for words in components[:PREFIX] if words])) - {""}


def _words(text: str) -> list[str]:
    return [token.key for token in tokens(text) if not token.key.isdigit()]


def _joined(components: Sequence[Sequence[str]]) -> Iterator[str]:
    """Family and given name as one word, and with an initial: ``hongildong``, ``ghong``."""
    if len(components) == 1 and len(components[0]) == 2:
        components = [[word] for word in components[0]]
    if len(components) < 2:
        return
    family, given = "".join(components[0]), "".join(components[1])
    yield from (family + given, given + family)
    if len(family) >= SHORTEST_WITH_INITIAL and not is_unspaced(family):
        yield from (given[0] + family, family + given[0])
