"""A patient has one centre, which any of the patient's rows may name."""

from hypothesis import given
from hypothesis import strategies as st

from components.preprocess.centres import centres_of

ROWS = st.lists(st.tuples(st.sampled_from("pqr"), st.sampled_from([None, "north", "south"])), max_size=12)


def test_each_further_centre_of_a_patient_is_named_with_the_row_of_the_first():
    rows = [(2, "p", None), (3, "p", "north"), (4, "q", "south"), (5, "p", "south"), (6, "p", "north")]
    centres, problems = centres_of(rows)
    assert centres == {"p": "north", "q": "south"}
    (problem,) = problems
    assert problem.startswith("row 5, centre: not that of row 3, which is of the same patient")


@given(ROWS)
def test_there_are_problems_exactly_where_a_patient_has_two_centres(rows):
    centres, problems = centres_of((number, *row) for number, row in enumerate(rows))
    named = {row for row in rows if row[1]}
    assert bool(problems) == (len(named) > len({patient for patient, _ in named}))
    assert centres.keys() == {patient for patient, _ in named}
    assert set(centres.items()) <= named
