"""The header reader of components/imaging/elements.py against pydicom alone, from a folder and from a real S3 server.

Run ``python tests/benchmarks/bench_headers.py [FOLDER]`` from the repository; it prints a table and writes
``runs/bench/headers.json``. What is read is a folder of CT files, by default 150 written here. Both ways read the same
first bytes side by side, then gather the planes of the series, as preprocessing does. The count of elements that would
have to go before pydicom, which makes an object of every element that a file claims, is left out in its favour.
"""

import argparse
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom

from components.common.store.base import Source
from components.common.store.bucket import BucketStore, upload_folder
from components.common.store.folder import FolderStore
from components.imaging.ct import gather_series, is_ct
from components.imaging.dicom_io import HEAD_BYTES, read_headers
from components.imaging.elements import Header
from tests.benchmarks.bench_ingest import slow_link, write_patient

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
    seconds: dict[str, list[float]] = {"elements": [], "pydicom": []}
    for _ in range(rounds):
        found = set()
        for name, way in (("elements", by_elements), ("pydicom", by_pydicom)):
            start = time.perf_counter()
            found.add(planes(source, names, way))
            seconds[name].append(time.perf_counter() - start)
        assert len(found) == 1, "the two ways differ"
    times = {name: statistics.median(values) for name, values in seconds.items()}
    return {"place": place, "files": len(names), **times, "ratio": times["pydicom"] / times["elements"]}


def main() -> None:
    """Prints the table and writes it as JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", nargs="?", type=Path)
    options.add_argument("--rounds", type=int, default=7)
    given = options.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from conftest import S3Server

    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        (root / "s3").mkdir()
        folder = given.folder or root / "patient"
        if not given.folder:
            write_patient(folder, np.random.default_rng(0))
        results = [compare("folder", FolderStore(folder), given.rounds)]
        server = S3Server(root / "s3")
        try:
            os.environ.update(server.environment)
            upload_folder(folder, "s3://dicom/headers")
            results.append(compare("S3, same machine", BucketStore("dicom", "headers"), given.rounds))
            with slow_link(os.environ["S3_ENDPOINT"]) as far:
                os.environ["S3_ENDPOINT"] = far
                results.append(compare("S3, 5 ms away", BucketStore("dicom", "headers"), given.rounds))
        finally:
            server.stop()
    for one in results:
        times = f"elements.py {one['elements']:.3f} s, pydicom {one['pydicom']:.3f} s: {one['ratio']:.1f}x"
        print(f"{one['place']:18}{one['files']} files: {times}")
    out = Path("runs/bench")
    out.mkdir(parents=True, exist_ok=True)
    (out / "headers.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
