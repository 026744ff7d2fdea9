"""A valid row of a cohort table, and tables of such rows as bytes."""

import pytest

from components.common.errors import InputError
from components.common.store.memory import MemoryStore
from components.preprocess.table import parse_table

GOOD = {
    "tumour_id": "t1", "patient_id": "p1", "dicom": "p1", "roi": "GTV", "response": "PR", "follow_up_days": "60",
    "primary_brain_cancer": "no", "whole_brain_radiotherapy": "no", "n_brain_metastases": "1",
    "skull_infiltration": "no", "primary_site": "lung", "location": "cerebrum", "age": "61", "sex": "female",
    "kps": "90", "primary_controlled": "yes", "extracranial_metastases": "no", "systemic_therapy": "",
    "total_dose_gy": "24", "fractions": "3", "device": "linac",
}  # fmt: skip


def good(number, **cells):
    """A valid row that differs from those of other numbers in tumour, patient and folder."""
    return {**GOOD, "tumour_id": f"t{number}", "patient_id": f"p{number}", "dicom": f"p{number}", **cells}


def written(lines, *, delimiter=",", end="\n", quote_all=False):
    """Lists of cells as CSV text: quotation marks where a cell needs them, or around each."""

    def cell(text):
        plain = not quote_all and not set(text) & {delimiter, '"', "\r", "\n"}
        return text if plain else '"' + text.replace('"', '""') + '"'

    return end.join(delimiter.join(map(cell, cells)) for cells in lines) + end


def lines_of(*rows):
    """Header and cells of rows that all have the same columns."""
    return [list(rows[0]), *(list(row.values()) for row in rows)]


def read_bytes(data):
    return parse_table(data, MemoryStore({"cohort.csv": data}))


def refusal_of(data):
    """The error by which a table is refused."""
    with pytest.raises(InputError) as caught:
        read_bytes(data)
    assert caught.value.exit_code == 2
    return caught.value


def read_text(text):
    return read_bytes(text.encode())


def refused_text(text):
    return refusal_of(text.encode())
