"""Opens a bundle, verifies its golden case, and computes predictions for crops.

It needs numpy, ONNX Runtime and the image processing of ``components.imaging``; no TensorFlow, no MLflow, no network.
"""

import dataclasses
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from components.common.contained import Budget, Failed, Message, Stopped, call
from components.common.errors import BundleError, InputError, SrsError
from components.common.files import digest_of
from components.common.limits import MIB, TRIAL_BYTES, TRIAL_SECONDS
from components.common.settings import IMAGE_SIZE_PX
from components.imaging.crop import ImageDefinition
from components.model.bundle_files import Bundle
from components.model.golden import GoldenCase
from components.model.manifest import Manifest
from components.model.plain_file import damaged
from components.model.scores import SCORES, calls, combine, spread, votes
from components.model.session import open_session, run_session
from components.model.signing import PublicKey
from components.stats.platt import calibrated

#: Range of a CT crop, HU: air beyond the scan is -1000, twelve-bit and metal-extended scales end below 32,767.
LOWEST_HU, HIGHEST_HU = -32_768.0, 65_535.0
#: Range of a crop's side, mm.
SMALLEST_MM, LARGEST_MM = 1.0, 1000.0


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """The ensemble's prediction for one crop.

    Parameters
    ----------
    probability
        Mean of the members' probabilities of non-response.
    vote_fraction, votes
        Fraction and number of members whose probability is above 0.5.
    spread
        Standard deviation of the members' probabilities.
    score
        The primary score: ``probability`` or ``vote_fraction``, by the bundle's ``ensemble_score``.
    calibrated_probability
        The score after the bundle's Platt scaling, an estimate of the probability of non-response in patients like
        those of the study; None for a bundle without scaling.
    non_responder
        Whether ``score`` is above the bundle's cut-off.
    members
        Each member's probability.
    """

    probability: float
    vote_fraction: float
    votes: int
    spread: float
    score: float
    calibrated_probability: float | None
    non_responder: bool
    members: tuple[float, ...]


class Ensemble:
    """An opened bundle, created by ``open``. Its methods may be called from several threads at once."""

    def __init__(self, manifest: Manifest, definition: ImageDefinition, session: Any, signed_by: str = "") -> None:
        self.manifest = manifest
        self.definition = definition
        self.signed_by = signed_by
        self._session = session

    @classmethod
    def open(cls, folder: Path, *, threads: int | None = None, public_key: PublicKey | None = None) -> Self:
        """Opens a bundle's folder and reproduces its golden case: slice and contour -> crop -> probabilities.

        Parameters
        ----------
        folder
            The bundle's folder, with ``manifest.json``.
        threads
            Threads of one call; by default all processors that this process may use.
        public_key
            Key of the only signer whose bundles are accepted; None accepts unsigned ones too.

        Raises
        ------
        BundleError
            As ``Bundle.read`` and ``check_graph``, and ``IMAGE_DEFINITION_UNKNOWN`` or ``GOLDEN_CASE``.
        """
        from components.model.graph_check import check_graph  # predicting does not need onnx

        bundle = Bundle.read(folder, public_key)
        manifest, definition = bundle.manifest, _definition(bundle.manifest)
        check_graph(bundle.graph, manifest)
        _try(bundle.graph, bundle.golden)
        ensemble = cls(manifest, definition, open_session(bundle.graph, threads), bundle.signed_by)
        ensemble._check_golden_case(bundle.golden)
        return ensemble

    def probabilities(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """Each member's probability of non-response.

        Parameters
        ----------
        crops
            [n, 151, 151] float32, HU, rows along +y and columns along +x (LPS).

        Returns
        -------
        NDArray
            [n, members] float32.

        Raises
        ------
        InputError
            ``CROP_DTYPE``, ``CROP_SHAPE``, ``CROP_NOT_FINITE`` or ``CROP_RANGE``.
        BundleError
            ``ANSWER_INVALID``: the network's outputs for these crops are not probabilities.
        """
        check_crops(crops)
        # The maps of several crops at once would fall out of the processor's cache.
        return np.concatenate([_run(self._session, crop) for crop in crops[:, np.newaxis]])

    def answer(self, crops: NDArray[np.float32]) -> list[Answer]:
        """One ``Answer`` per crop [n, 151, 151] float32 in HU; raises as ``probabilities``."""
        members = self.probabilities(crops).astype(np.float64)
        scores: dict[str, NDArray[np.float64]] = {name: combine(members, name, axis=1) for name in SCORES}
        primary = scores[self.manifest.ensemble_score]
        columns = (
            scores["mean"],
            scores["vote"],
            votes(members).sum(axis=1).astype(int),
            spread(members, axis=1),
            primary,
            self._calibrated(primary),
            calls(primary, self.manifest.cut_off),
        )
        rows = zip(*(column.tolist() for column in columns), map(tuple, members.tolist()), strict=True)
        return [Answer(*row) for row in rows]

    def _calibrated(self, score: NDArray[np.float64]) -> NDArray[Any]:
        scaling = self.manifest.calibration
        if scaling is None:
            return np.full(len(score), None)
        return calibrated(score, scaling["slope"], scaling["intercept"])

    def _check_golden_case(self, golden: GoldenCase) -> None:
        tolerance = self.manifest.golden_tolerance
        try:
            crop = golden.given.cut(self.definition)
            probabilities = self.probabilities(crop[np.newaxis])[0]  # refuses an invalid crop
            crop_difference = float(np.abs(crop - golden.crop).max())
            difference = golden.difference(probabilities)
        except (ValueError, SrsError):
            raise BundleError("GOLDEN_CASE", "the golden case cannot be run", _OTHER_RELEASE) from None
        if not crop_difference <= tolerance["crop_hu"]:
            raise BundleError("GOLDEN_CASE", f"the golden crop differs by {crop_difference:.2g} HU", _OTHER_RELEASE)
        if not difference <= tolerance["probability"]:
            raise BundleError("GOLDEN_CASE", f"the golden answers differ by {difference:.2g}", _OTHER_RELEASE)


_OTHER_RELEASE = "Serve the bundle with the release that wrote it, or promote a version of this release."


def _run(session: Any, crops: NDArray[np.float32]) -> NDArray[np.float32]:
    """The graph's probabilities [n, members]; ``ANSWER_INVALID`` where an output is not a probability."""
    outputs = run_session(session, crops)
    if len(outputs) != len(crops) or not ((outputs >= 0) & (outputs <= 1)).all():  # refuses NaN too
        raise BundleError("ANSWER_INVALID", "the network's outputs are not probabilities", _OTHER_RELEASE)
    return outputs


def _try(graph: bytes, golden: GoldenCase) -> None:
    """Runs the graph in a contained process, with the golden crop, before it is opened here.

    This limits everything that ONNX Runtime needs, also beyond the graph's tensors.
    """
    try:
        call(try_graph, {}, [graph, golden.crop.tobytes()], Budget(TRIAL_SECONDS, TRIAL_BYTES))
    except Failed as error:
        raise BundleError("GOLDEN_CASE", f"the graph cannot be run ({error.kind})", _OTHER_RELEASE) from None
    except Stopped:
        most = f"{TRIAL_SECONDS:g} s of processor time and {TRIAL_BYTES / MIB:g} MiB for one crop"
        message = f"the graph cannot be run within {most}"
        raise BundleError("BUNDLE_TOO_LARGE", message, "Train a smaller network, or fewer members.") from None


def try_graph(_head: dict[str, Any], parts: list[bytes]) -> Message:
    """The contained function: runs the graph ``parts[0]`` on the crop ``parts[1]``."""
    crop = np.frombuffer(parts[1], np.float32).reshape(1, IMAGE_SIZE_PX, IMAGE_SIZE_PX)
    try:
        _run(open_session(parts[0], 1), crop)
    except BundleError as error:
        raise BundleError("GOLDEN_CASE", f"the golden crop: {error.safe_message}", _OTHER_RELEASE) from None
    return {}, []


def check_crops(crops: NDArray[Any]) -> None:
    """Raises ``InputError`` unless ``crops`` are finite float32 HU of shape [n >= 1, 151, 151]."""
    if crops.dtype != np.float32:
        raise InputError("CROP_DTYPE", "crops must be float32", "Send HU as float32 (FP32).")
    if crops.ndim != 3 or crops.shape[1:] != (IMAGE_SIZE_PX, IMAGE_SIZE_PX) or not len(crops):
        message = f"crops must have the shape [n, {IMAGE_SIZE_PX}, {IMAGE_SIZE_PX}], n at least 1"
        raise InputError("CROP_SHAPE", message, f"Send [1, {IMAGE_SIZE_PX}, {IMAGE_SIZE_PX}] also for a single crop.")
    low, high = float(crops.min()), float(crops.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        hint = "Replace what is beyond the scan by -1000 HU."
        raise InputError("CROP_NOT_FINITE", "crops contain NaN or infinity", hint)
    if low < LOWEST_HU or high > HIGHEST_HU:
        raise InputError(
            "CROP_RANGE", f"crops must lie in {LOWEST_HU:.0f} to {HIGHEST_HU:.0f} HU", "Send HU, unscaled."
        )


def _definition(manifest: Manifest) -> ImageDefinition:
    if digest_of(manifest.image_definition) != manifest.image_digest:
        raise damaged("the image definition does not match its digest")
    try:
        definition = ImageDefinition.from_dict(manifest.image_definition)
    except (SrsError, KeyError, TypeError, ValueError):
        definition = None
    if definition is None or not _can_be_cut(definition):
        message = "this release does not know the bundle's image definition"
        raise BundleError("IMAGE_DEFINITION_UNKNOWN", message, _OTHER_RELEASE)
    return definition


def _can_be_cut(definition: ImageDefinition) -> bool:
    """Whether the crop has the network's size in pixels, and a plausible size in mm and HU outside the image."""
    return (
        definition.size_px == IMAGE_SIZE_PX
        and SMALLEST_MM <= definition.size_mm <= LARGEST_MM
        and LOWEST_HU <= definition.outside_hu <= HIGHEST_HU
    )
