"""The header reader of components/imaging/elements.py against pydicom alone, from a folder and from a real S3 server.

Run ``python tests/benchmarks/bench_headers.py [FOLDER]`` from the repository; it prints a table and writes
``runs/bench/headers.json``. What is read is a folder of CT files, by default 150 written here. Both ways read the same
first bytes side by side, then gather the planes of the series, as preprocessing does. The count of elements that would
have to go before pydicom, which makes an object of every element that a file claims, is left out in its favour.
"""

import argparse
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pydicom

from components.common.store.base import Source
from components.common.store.bucket import BucketStore
from components.common.store.folder import FolderStore
from components.imaging.ct import gather_series, is_ct
from components.imaging.dicom_io import HEAD_BYTES, read_headers
from components.imaging.elements import Header
from tests.benchmarks.bench_ingest import write_patient
from tests.benchmarks.harness import s3_places, timed_in_turn, write_results

Way = Callable[[Source, Sequence[str]], list[Header]]


def by_elements(source: Source, names: Sequence[str]) -> list[Header]:
    """Headers by ``elements.py``."""
    return [header for header in read_headers(source, names) if isinstance(header, Header)]


def by_pydicom(source: Source, names: Sequence[str]) -> list[Header]:
    """Headers by pydicom, which decodes an element only when it is read."""

    def make(head: bytes) -> Header:
        dataset = pydicom.dcmread(io.BytesIO(head), stop_before_pixels=True)
        found = [part.get_item(tag) for part in (dataset.file_meta, dataset) for tag in part.keys()]  # noqa: SIM118
        return Header({int(element.tag): (element.VR, element.value) for element in found}, dataset)

    return list(source.map_heads(make, names, HEAD_BYTES))


def planes(source: Source, names: Sequence[str], way: Way) -> int:
    """Number of planes of each CT series in a folder."""
    cts = [(str(number), header) for number, header in enumerate(way(source, names)) if is_ct(header)]
    return sum(len(series.planes) for series in gather_series(cts))


def compare(place: str, source: Source, rounds: int) -> dict[str, float | str]:
    """Times both readers in turn; medians over the rounds."""
    names = [entry.name for entry in source.list("") if not entry.name.startswith("RS")]
    ways = {"elements": by_elements, "pydicom": by_pydicom}
    times, found = timed_in_turn({name: partial(planes, source, names, way) for name, way in ways.items()}, rounds)
    assert found["elements"] == found["pydicom"], "the two ways differ"
    return {"place": place, "files": len(names), **times, "ratio": times["pydicom"] / times["elements"]}


def main() -> None:
    """Prints the table and writes it as JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", nargs="?", type=Path)
    options.add_argument("--rounds", type=int, default=7)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        folder = given.folder or root / "patient"
        if not given.folder:
            write_patient(folder, np.random.default_rng(0))
        results = [compare("folder", FolderStore(folder), given.rounds)]
        with s3_places(folder, "s3://dicom/headers", root / "s3") as places:
            for place, endpoint in places:
                os.environ["S3_ENDPOINT"] = endpoint
                results.append(compare(place, BucketStore("dicom", "headers"), given.rounds))
    for one in results:
        times = f"elements.py {one['elements']:.3f} s, pydicom {one['pydicom']:.3f} s: {one['ratio']:.1f}x"
        print(f"{one['place']:18}{one['files']} files: {times}")
    write_results("headers", results)


if __name__ == "__main__":
    main()
