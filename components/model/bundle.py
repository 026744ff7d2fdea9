"""Writes bundles: the members of an ensemble as one graph file, with everything that serving and the gate need.

    manifest.json            what it is, digests of every file, image definition, patients seen (keyed digests)
    ensemble.onnx            crop_hu [n,151,151] -> probabilities [n,members]
    golden/slice_hu.npy      a phantom's CT slice, and in golden.json its geometry and a contour,
    golden/crop.npy          the crop that must result from them
    golden/probabilities.npy and the members' probabilities for that crop
    manifest.sig             the signature of manifest.json, if the bundle is signed; see ``signing``

Nothing in it is pickled, reading it needs no TensorFlow, and it holds no pixel of a patient.
"""

import dataclasses
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.members import Member
from components.common.artifacts.score_metrics import PlattScaling
from components.common.errors import BundleError
from components.common.files import digest_of, digest_of_file
from components.common.settings import IMAGE_SIZE_PX, StudySettings
from components.imaging.crop import ImageDefinition
from components.model.crop_statistics import percentiles_over, score_percentiles
from components.model.golden import CROP, GOLDEN, PROBABILITIES, GoldenInput
from components.model.manifest import (
    BUNDLE_KIND,
    BUNDLE_VERSION,
    GRAPH,
    MANIFEST,
    STUDY,
    Manifest,
)
from components.model.manifest_checks import EXPORT_TOLERANCE
from components.model.network import Network, window_scale
from components.model.seen import crop_digests, patient_digests

#: Code of a bundle's MLflow model, which MLflow stores beside the bundle.
PYFUNC_CODE = Path(__file__).with_name("pyfunc_model.py")
#: Number of crops on which the graph is compared with training.
EXPORT_CHECKS = 32
#: Tolerances for processors that round differently: HU of the golden crop, and probability of a member.
GOLDEN_TOLERANCE = {"crop_hu": 0.01, "probability": 1e-4}


@dataclasses.dataclass(frozen=True, slots=True)
class Development:
    """What an ensemble's development predictions give its bundle: Platt scaling, and percentiles of the score."""

    calibration: PlattScaling | None = None
    scores: dict[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, score: NDArray[np.float64], calibration: PlattScaling | None) -> "Development":
        """From the primary scores [n] of development predictions, and the scaling fitted on them."""
        return cls(calibration, score_percentiles(score) if len(score) else {})


def write_bundle(
    folder: Path,
    members: Sequence[Member],
    *,
    dataset: Dataset,
    network: Network,
    settings: StudySettings,
    golden: GoldenInput,
    development: Development = Development(),
    extra: dict[str, Any] | None = None,
) -> Manifest:
    """Writes the bundle of an ensemble of one or all groups, or of a single member, into an empty or new folder.

    The same input gives the same digest. The graph's probabilities are compared with those of training.

    Parameters
    ----------
    folder
        The bundle's folder.
    members
        Trained members, in the order of the output columns.
    dataset
        The dataset that they were trained on.
    network
        Their network.
    settings
        The run's settings.
    golden
        A phantom's slice and contour.
    development
        Calibration and scores of its development predictions.
    extra
        Plain values to add to the manifest.

    Raises
    ------
    BundleError
        ``EXPORT_DIFFERS`` where the graph's probabilities differ from those of training.
    """
    from components.model.export import ensemble_graph  # Keras and onnx are needed only to write bundles

    folder.mkdir(parents=True, exist_ok=True)
    graph = ensemble_graph(network, [member.weights for member in members], window_scale(settings.train))
    (folder / GRAPH).write_bytes(graph.SerializeToString(deterministic=True))
    difference = _check_export(folder / GRAPH, members, dataset)
    _write_golden(folder, golden, ImageDefinition.from_dict(dataset.image_definition))
    names = sorted({member.split.group for member in members})
    seen = dataset.tumours.tumour.isin(developed(members))
    crops = dataset.crops[np.flatnonzero(seen)]
    return Manifest(
        version=BUNDLE_VERSION,
        kind=BUNDLE_KIND,
        group=names[0] if len(names) == 1 else STUDY,
        members=tuple(member.id for member in members),
        image_definition=dataset.image_definition,
        image_digest=digest_of(dataset.image_definition),
        cut_off=settings.evaluate.cut_off,
        ensemble_score=settings.evaluate.ensemble_score,
        settings=dataclasses.asdict(settings),
        seed=settings.seed,
        dataset_digest=dataset.digest,
        split_digests=tuple(member.split.digest for member in members),
        training_crops=percentiles_over(crops),
        seen_patients=patient_digests(settings.study, dataset.tumours.patient[seen]),
        synthetic=dataset.synthetic,
        golden_tolerance=GOLDEN_TOLERANCE,
        export_difference=difference,
        files={name: digest_of_file(folder / name) for name in _content(folder)},
        extra=extra or {},
        groups={name: _group_facts(name, members, dataset, settings.study) for name in names},
        calibration=dataclasses.asdict(development.calibration) if development.calibration else None,
        development_scores=development.scores,
        pseudonym_key=dataset.pseudonym_key,
        seen_crops=tuple(sorted(set(crop_digests(settings.study, crops)))),
    ).write(folder)


def developed(members: Sequence[Member]) -> set[str]:
    """The tumours in any member's training or validation set."""
    return {name for member in members for name in member.split.training + member.split.validation}


def _group_facts(name: str, members: Sequence[Member], dataset: Dataset, study: str) -> dict[str, list[str]]:
    """A group's members, and the patients whom another group's members have seen and its own have not."""
    own, table = [member for member in members if member.split.group == name], dataset.tumours
    seen, seen_here = (
        patient_digests(study, table.patient[table.tumour.isin(developed(some))]) for some in (members, own)
    )
    return {"members": [member.id for member in own], "held_out": sorted(set(seen) - set(seen_here))}


def signature(member_ids: Sequence[str]) -> dict[str, str]:
    """The MLflow signature of a logged bundle, for ``ModelSignature.from_dict``."""
    tensor = {"dtype": "float32", "shape": [-1, IMAGE_SIZE_PX, IMAGE_SIZE_PX]}
    columns = ["probability", "vote_fraction", "spread", "score", "calibrated_probability"]
    types = [(name, "double") for name in columns] + [("non_responder", "long")] + [(m, "double") for m in member_ids]
    outputs = [{"name": name, "type": kind, "required": True} for name, kind in types]
    return {"inputs": json.dumps([{"type": "tensor", "tensor-spec": tensor}]), "outputs": json.dumps(outputs)}


def pip_requirements() -> list[str]:
    """Requirements of ``PYFUNC_CODE``, pinned to the versions installed here."""
    return [f"{name}=={importlib.metadata.version(name)}" for name in ("mlflow", "numpy", "onnxruntime", "pandas")]


def _check_export(graph: Path, members: Sequence[Member], dataset: Dataset) -> float:
    """Largest difference from the probabilities of training, on crops spread over the dataset."""
    chosen = np.unique(np.linspace(0, len(dataset.crops) - 1, EXPORT_CHECKS).astype(int))
    expected = np.stack([member.probabilities[chosen] for member in members], axis=1)
    difference = float(np.abs(_run(graph, dataset.crops[chosen]) - expected).max())
    if not difference <= EXPORT_TOLERANCE:
        message = f"the probabilities of the exported graph differ by up to {difference:.1e} from training"
        raise BundleError("EXPORT_DIFFERS", message, "Reused weights may come from another version: train again.")
    return difference


def _write_golden(folder: Path, golden: GoldenInput, definition: ImageDefinition) -> None:
    golden.write(folder / GOLDEN)
    crop = golden.cut(definition)
    np.save(folder / GOLDEN / CROP, crop, allow_pickle=False)
    np.save(folder / GOLDEN / PROBABILITIES, _run(folder / GRAPH, crop[np.newaxis])[0], allow_pickle=False)


def _run(graph: Path, crops: NDArray[np.float32]) -> NDArray[np.float32]:
    from components.model.session import open_session, run_session  # reading a manifest needs no ONNX Runtime

    return run_session(open_session(graph.read_bytes()), crops)


def _content(folder: Path) -> list[str]:
    """Names of all files but the manifest, sorted."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name != MANIFEST)
