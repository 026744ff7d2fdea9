"""Mutated DICOM gives a result or an exclusion with a code, never another exception, and never hangs."""

import io

import numpy as np
import pydicom
import pytest

from components.common.errors import SrsError
from components.common.settings import PreprocessSettings
from components.common.store.memory import MemoryStore
from components.imaging.gtv import find_gtvs


def flip_bits(data, rng):
    damaged = bytearray(data)
    for place in rng.integers(0, min(len(damaged), 4000), rng.integers(1, 30)):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def truncate(data, rng):
    return data[: int(rng.integers(0, len(data)))]


def drop_tags(data, rng):
    dataset = pydicom.dcmread(io.BytesIO(data))
    tags = list(dataset.keys())
    for tag in rng.choice(len(tags), rng.integers(1, 4), replace=False):
        del dataset[tags[tag]]
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=False)
    return buffer.getvalue()


def wrong_vr(data, rng):
    damaged = bytearray(data)
    places = [i for i in range(140, min(len(damaged) - 1, 4000)) if bytes(damaged[i : i + 2]) in VRS]
    for place in rng.choice(places, min(3, len(places)), replace=False):
        damaged[place : place + 2] = VRS[int(rng.integers(len(VRS)))]
    return bytes(damaged)


def wrong_value(data, rng):
    damaged = bytearray(data)
    start = int(rng.integers(132, min(len(damaged), 4000)))
    damaged[start : start + 8] = rng.bytes(8)
    return bytes(damaged)


VRS = [b"DS", b"IS", b"UI", b"SQ", b"US", b"CS", b"LO", b"OB", b"OW", b"UN", b"PN", b"ZZ"]
MUTATIONS = [flip_bits, truncate, drop_tags, wrong_vr, wrong_value]


def look(files):
    """The outcome of the study; a hang is found by pytest's time limit."""
    try:
        (candidate,) = find_gtvs(MemoryStore(files), "", PreprocessSettings())
        return candidate.code or "ok"
    except SrsError as error:
        return error.code


def mutate(make_study, seeds):
    files = make_study().files()
    names = ["RS0.dcm", "CT/003.dcm", "CT/002.dcm"]  # the slice of the crop and its neighbour
    outcomes = {}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        name = names[seed % len(names)]
        mutation = MUTATIONS[seed % len(MUTATIONS)]
        outcomes.setdefault(look(files | {name: mutation(files[name], rng)}), []).append(seed)
    return outcomes


@pytest.mark.filterwarnings("default")  # pydicom's own, of files that are not what they say
def test_a_thousand_damaged_files_are_each_an_exclusion_or_a_result(make_study):
    outcomes = mutate(make_study, range(1000))
    assert len(outcomes) > 6
    assert "ok" in outcomes
