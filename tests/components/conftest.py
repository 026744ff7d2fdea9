"""Fixtures for the tests of several packages: small and real studies, and crops with a network that trains on them."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import generate_uid

from components.common.settings import TrainSettings
from tests.components.crops import make_crops, make_splits
from tests.components.studies import Study, circle, make_contour, make_ct, make_rtstruct


@pytest.fixture
def make_study() -> Callable[..., Study]:
    """``make_study(rois={"GTV": {z: [points, ...]}}, ...)``: 9 slices of 64 x 64 px, 1.5 mm apart, 1 mm pixels."""

    def make(rois=None, *, zs=None, spacing=(1.0, 1.0), shape=(64, 64), by_uid=True, **ct_options):
        zs = np.arange(9) * 1.5 if zs is None else zs
        series, frame = generate_uid(), generate_uid()
        cts = [make_ct(z, series, frame, spacing, shape, **ct_options) for z in zs]
        uids = {round(float(z), 4): ct.SOPInstanceUID for z, ct in zip(zs, cts, strict=True)}
        rois = {"GTV": {3.0: [circle(6)], 4.5: [circle(8)], 6.0: [circle(7)]}} if rois is None else rois
        drawn = {
            name: None
            if planes is None
            else [
                make_contour(points, z, uids.get(round(float(z), 4), "") if by_uid else "")
                for z, shapes in planes.items()
                for points in shapes
            ]
            for name, planes in rois.items()
        }
        return Study(cts, [make_rtstruct(drawn, frame, series)])

    return make


@pytest.fixture(scope="session")
def real_sets() -> Path:
    """The folder of public CT and RTSTRUCT sets, where this machine has it."""
    beside = Path(__file__).resolve().parents[2] / "../shared/dicom"
    folder = Path(os.environ.get("SRS_SHARED_DICOM", beside))
    if not (folder / "EXPECTED.csv").is_file():
        pytest.skip("the public CT sets are not here; SRS_SHARED_DICOM names their folder")
    return folder


@pytest.fixture(scope="session")
def cohort():
    """Crops, labels and pseudonyms of 30 tumours."""
    crops, labels = make_crops(30, np.random.default_rng(7))
    return crops, labels, [f"T{i:03d}" for i in range(len(labels))]


@pytest.fixture(scope="session")
def splits(cohort):
    """Three members of one group."""
    return make_splits(cohort[2], 3, np.random.default_rng(8))


@pytest.fixture(scope="session")
def tiny():
    """A protocol with which ``tiny_network`` trains in well under a second, including restarts."""
    return TrainSettings(
        batch_size=6, max_steps=20, validate_every=5, restart_step=10, restart_accuracy=0.7, max_restarts=1,
        patience_steps=15, good_accuracy=1.0,
    )  # fmt: skip


@pytest.fixture(scope="session")
def tiny_network():
    """A small network of the paper's form."""
    from tests.components.networks import network_of

    return network_of(filters_1=2, filters_2=3, kernel_1=4, kernel_2=3, pool_1=12, pool_2=3, dense_1=6, dense_2=4)


@pytest.fixture(scope="session")
def network_at_random():
    """A small network of the paper's form, of random kernel and pool sizes and widths, for a seed."""
    from tests.components.networks import network_of

    def draw(seed):
        rng = np.random.default_rng(seed)
        return network_of(
            pool_1=int(rng.choice([3, 5, 8, 12])), pool_2=int(rng.integers(1, 4)),
            filters_1=int(rng.integers(1, 5)), filters_2=int(rng.integers(1, 6)), kernel_1=int(rng.integers(1, 8)),
            kernel_2=int(rng.integers(1, 5)), dense_1=int(rng.integers(2, 9)), dense_2=int(rng.integers(2, 9)),
            dropout=float(rng.choice([0, 0.3])),
        )  # fmt: skip

    return draw


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs, to be copied, since MLflow takes seconds to create its tables."""
    from components.common import tracking_store

    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        tracking_store.prepare_store()
    return path
