"""Splits by centre are refused where the cohort table alone shows that there are too few centres."""

import pytest

from components.common.errors import InputError
from components.common.presets import resolve
from components.phantom.phantom import write_cohort
from components.preprocess import step
from components.preprocess.enough_centres import require_centres
from pipelines.local.study_options import StudyOptions
from tests.components.preprocess.cohort_rows import good, lines_of, read_text, written

BY_CENTRE = {"split": {"split_unit": "centre", "min_centre_class_size": 2}}


def rows_of(sizes, **cells):
    """Rows of so many tumours at each centre, every second one a non-responder."""
    centres = [name for name, size in sizes.items() for _ in range(size)]
    rows = [
        good(number, centre=name, response="SD" if number % 2 else "CR", **cells) for number, name in enumerate(centres)
    ]
    return read_text(written(lines_of(*rows)))


def refusal(rows, settings=BY_CENTRE):
    with pytest.raises(InputError) as caught:
        require_centres(rows, resolve("fast", settings))
    assert caught.value.code == "TOO_FEW_CENTRES"
    return str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"": 12}, "none is known"),
        ({"north": 12}, "but 1 is known"),
        ({"north": 12, "": 6}, "but 1 is known"),
        ({"north": 12, "south": 3}, "of 2 known centres 1 can be left out"),
    ],
)
def test_a_table_with_too_few_centres_is_refused_without_naming_one(sizes, text):
    message = refusal(rows_of(sizes))
    assert text in message
    assert "north" not in message


def test_a_table_without_the_column_is_refused():
    assert "none is known" in refusal(read_text(written(lines_of(good(1), good(2)))))


def test_enough_centres_and_other_units_are_accepted():
    require_centres(rows_of({"north": 12, "south": 4, "": 5}), resolve("fast", BY_CENTRE))
    require_centres(rows_of({"": 5}), resolve("fast"))


def test_tumours_that_the_table_excludes_do_not_count():
    sizes = {"north": 12, "south": 12}
    assert "0 can be left out" in refusal(rows_of(sizes, whole_brain_radiotherapy="yes"))


def test_patients_without_a_centre_count_where_they_may_be_merged_with_others():
    rows = rows_of({"north": 12, "south": 3, "": 4})
    require_centres(rows, resolve("fast", {**BY_CENTRE, "preprocess": {"one_patient": "merge"}}))
    refusal(rows)


def test_both_a_local_run_and_the_first_task_on_a_cluster_refuse_before_any_image(tmp_path, monkeypatch):
    write_cohort(tmp_path / "cohort", tumours=6, patients=5)
    monkeypatch.setattr(step, "fingerprint", lambda _: pytest.fail("listed the images"))
    with pytest.raises(InputError, match="none is known"):
        step.plan(str(tmp_path / "cohort"), "fast", 1, 2, 2, '{"split": {"split_unit": "centre"}}')
    with pytest.raises(InputError, match="none is known"):
        StudyOptions("fast", overrides=BY_CENTRE).parameters(str(tmp_path / "cohort"))
