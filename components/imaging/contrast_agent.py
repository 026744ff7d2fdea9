"""Whether a contrast agent was given, by the words that people write into ContrastBolusAgent (0018,0010)."""

import re

#: Words for whether an agent was given.
CONTRAST_WORDS = ("yes", "no")

#: What may follow a negation: "no IV contrast given", "ohne KM". Names of agents and other routes are not among it.
_AFTER = (
    r"(?: (?:i ?v|[ck]ontrast\w*|agent|media|medium|mezzo|di|mdc|km|cm|ce|bolus|enhanc\w+|given|used|administered"
    r"|applied))*"
)
#: Texts for "none", in the languages of scanners' users, as whole texts without punctuation.
_NO = re.compile(
    rf"(?:no|none|nil|non|n|not|without|w o|wo|ohne|kein\w*|sans|aucun|senza|nessuno|sin){_AFTER}"
    r"|0+|false|off|nativ\w*|plain|unenhanced|noncontrast|nonenhanced|нет|없음|無|无|なし"
)
#: Negations that may be followed by anything: "no oral contrast" says nothing about other routes. Not "non", which
#: begins "non-ionic", a kind of agent.
_UNCLEAR = re.compile(r"(?:no|none|not|without|w o|ohne|kein\w*|sans|senza|sin) .*")
#: Texts that stand for an unknown value, or were written by software that removes identity.
_UNKNOWN = re.compile(
    r"unknown|unk|n a|na|nan|null|undefined|unspecified|not (?:known|available|specified|applicable)|default"
    r"|x+|removed|dummy|deleted|(?:anon|de ?ident)\w*"
)


def contrast_word(agent: str) -> str | None:
    """``yes`` where a text names an agent, ``no`` where it says that none was given, otherwise None.

    An absent or empty agent is unknown. A CT object has the Contrast/Bolus module only if an agent was used (PS3.3
    A.3.3), in which the agent may be empty where it is not known (type 2). But scanners write it empty for every scan,
    de-identification empties it (PS3.15 E.1), and exports leave it out.

    Parameters
    ----------
    agent
        ContrastBolusAgent, "" where absent or empty.
    """
    words = " ".join(re.findall(r"[^\W_]+", agent.casefold()))
    if not words or _UNKNOWN.fullmatch(words):
        return None
    if _NO.fullmatch(words):
        return "no"
    return None if _UNCLEAR.fullmatch(words) else "yes"
