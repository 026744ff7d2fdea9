"""Templates of the pages of an evaluation and of a validation, which share their style and parts."""

from collections.abc import Callable, Mapping
from typing import Any

import jinja2

from components.common.narrow import NARROW_STYLE
from components.evaluate.tables import FILTERS, NO_TEST, WHY_NO_TEST

#: The KFP UI loads a page in one piece and requires it to be below 1 MB.
MOST_BYTES = 1_000_000
#: Misclassified tumours shown with their crop, and listed at all; ``scores.csv`` contains every prediction.
MOST_CROPS, MOST_LISTED = 40, 200
#: Where the shared style and parts are.
SHARED = "components.evaluate"


def template(
    name: str, package: str = SHARED, *, more_filters: Mapping[str, Callable[..., Any]] | None = None
) -> jinja2.Template:
    """A template of a package, which may include those of ``SHARED`` and use the filters of ``tables``.

    Parameters
    ----------
    name
        Name of the file; an HTML page (``.html.j2``) escapes what is filled in, Markdown does not.
    package
        Dotted name of the package that holds it.
    more_filters
        Filters by their name in the template.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(place, ".") for place in (package, SHARED)]),
        autoescape=name.endswith(".html.j2"),  # in Markdown, every value is our own figure or a validated setting
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {**FILTERS, **(more_filters or {})}
    environment.globals |= {"narrow_style": NARROW_STYLE, "no_test": NO_TEST, "no_test_reason": WHY_NO_TEST}
    return environment.get_template(name)
