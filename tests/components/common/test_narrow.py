"""Cells that carry their column's heading."""

import pytest

from components.common.narrow import labelled

HEAD = "<table><thead><tr><th>Group</th><th>AUC<br>(95&nbsp;%&nbsp;CI)</th><th></th></tr></thead>"


def test_each_cell_but_the_first_gets_its_heading() -> None:
    page = f'é\n<p>x</p>{HEAD}<tbody>\n<tr><td>A</td><td class="n">0.8</td><td>y</td></tr></tbody></table>'
    expected = page.replace('<td class="n">', '<td data-label="AUC (95 % CI)" class="n">')
    assert labelled(page) == expected


def test_a_cell_over_several_columns_shifts_those_after_it() -> None:
    page = (
        f'{HEAD}<tr><td colspan="1">A</td><td colspan="2">none</td></tr><tr><td>B</td><td>1</td><td></td></tr></table>'
    )
    assert labelled(page).count("data-label") == 1
    assert '<td>B</td><td data-label="AUC (95 % CI)">1</td>' in labelled(page)


def test_a_heading_is_escaped() -> None:
    page = '<table><thead><tr><th>a</th><th>p &lt; "5"</th></tr></thead><tr><td>1</td><td>2</td></tr></table>'
    assert '<td data-label="p &lt; &quot;5&quot;">2</td>' in labelled(page)


@pytest.mark.parametrize("page", ["", "<p>no table</p>", "<table><tr><td>no</td><td>head</td></tr></table>"])
def test_what_has_no_heading_stays(page: str) -> None:
    assert labelled(page) == page


def test_headings_end_with_their_table() -> None:
    page = f"{HEAD}<tr><td>A</td></tr></table><table><tr><td>a</td><td>b</td></tr></table>"
    assert labelled(page) == page
