"""Checks a regular expression that a user wrote."""

import re


def pattern_problem(pattern: str) -> str:
    """Why ``pattern`` is not a regular expression, with the position where Python stopped; "" where it is one."""
    try:
        re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        return error.msg if error.pos is None else f"{error.msg}, at character {error.pos + 1}"
    except RecursionError:
        return "its groups are nested too deeply"
    except (OverflowError, ValueError) as error:
        return str(error)
    return ""
