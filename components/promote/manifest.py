"""What a bundle says about itself, and its golden case: all that a reader of bundles needs.

Neither ONNX nor a runtime is imported here, so the registry and the gate can read a manifest anywhere.
"""

import dataclasses
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from components.common.errors import BundleError
from components.common.files import digest_of, load_array, read_json, write_json
from components.preprocess.crop import ImageDefinition, bounding_box_centre_mm, cut_crop
from components.preprocess.geometry import SliceGeometry

BUNDLE_KIND = "srs-response-ensemble"
BUNDLE_VERSION = 1
GRAPH = "ensemble.onnx"
MANIFEST = "manifest.json"

_EXPORT_AGAIN = "Fetch or export the bundle again."


@dataclasses.dataclass(frozen=True, slots=True)
class GoldenInput:
    """A synthetic slice with one contour.

    Parameters
    ----------
    slice_hu
        [rows, columns] float32, HU.
    origin_xy_mm
        LPS x and y of the centre of pixel (0, 0), mm.
    column_step_xy_mm, row_step_xy_mm
        Change of x and y from one column, one row, to the next, mm.
    contour_xy_mm
        [points, 2] LPS mm.
    """

    slice_hu: NDArray[np.float32]
    origin_xy_mm: tuple[float, float]
    column_step_xy_mm: tuple[float, float]
    row_step_xy_mm: tuple[float, float]
    contour_xy_mm: NDArray[np.float64]

    def cut(self, definition: ImageDefinition) -> NDArray[np.float32]:
        """The crop [151, 151] in HU that ``definition`` makes of slice and contour."""
        geometry = SliceGeometry(self.origin_xy_mm, self.column_step_xy_mm, self.row_step_xy_mm)
        centre = bounding_box_centre_mm([self.contour_xy_mm])
        return cut_crop(self.slice_hu, geometry, centre, definition)

    def write(self, folder: Path) -> None:
        """Writes ``slice_hu.npy`` and ``golden.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "slice_hu.npy", self.slice_hu.astype(np.float32), allow_pickle=False)
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del fields["slice_hu"]
        write_json(folder / "golden.json", {name: np.asarray(value).tolist() for name, value in fields.items()})

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads what ``write`` wrote."""
        fields = read_json(folder / "golden.json")
        return cls(
            slice_hu=load_array(folder / "slice_hu.npy"),
            contour_xy_mm=np.array(fields.pop("contour_xy_mm"), np.float64),
            **{name: tuple(value) for name, value in fields.items()},
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says about itself.

    Parameters
    ----------
    group, members
        Group name and member ids, in the order of the graph's output columns.
    image_definition, image_digest
        How crops are cut, as data, and its digest; only bundles with the same digest are comparable.
    cut_off, ensemble_score
        A tumour is called a non-responder where its primary score (``mean`` or ``vote``) is above ``cut_off``.
    training_crops
        ``{"mean_hu": {"50": ..}, "sd_hu": {..}}``: percentiles over the development tumours' crops.
    seen_patients
        ``patient_digest`` of every patient with a tumour in any member's training or validation set, sorted.
    export_difference
        Largest difference between the graph's answers and training's.
    files
        SHA-256 of every other file.
    extra
        Plain values that the caller adds.
    """

    version: int
    kind: str
    group: str
    members: tuple[str, ...]
    image_definition: dict[str, Any]
    image_digest: str
    cut_off: float
    ensemble_score: str
    settings: dict[str, Any]
    seed: int
    dataset_digest: str
    split_digests: tuple[str, ...]
    training_crops: dict[str, dict[str, float]]
    seen_patients: tuple[str, ...]
    synthetic: bool
    golden_tolerance: dict[str, float]
    export_difference: float
    files: dict[str, str]
    extra: dict[str, Any]
    digest: str = ""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads ``manifest.json``, and checks kind, version and its own digest.

        Raises
        ------
        BundleError
            ``BUNDLE_MISSING``, ``BUNDLE_DAMAGED`` or ``BUNDLE_UNKNOWN``.
        """
        try:
            fields = json.loads((folder / MANIFEST).read_bytes())
        except FileNotFoundError:
            raise BundleError("BUNDLE_MISSING", "no bundle in this folder: manifest.json is missing") from None
        except (OSError, ValueError):
            raise BundleError("BUNDLE_DAMAGED", "manifest.json cannot be read", _EXPORT_AGAIN) from None
        if not isinstance(fields, dict) or (fields.get("kind"), fields.get("version")) != (BUNDLE_KIND, BUNDLE_VERSION):
            message = f"this is not a {BUNDLE_KIND} bundle of version {BUNDLE_VERSION}"
            raise BundleError("BUNDLE_UNKNOWN", message, "Serve it with the release that wrote it, or export it again.")
        if fields.get("digest") != digest_of({**fields, "digest": ""}):
            raise BundleError("BUNDLE_DAMAGED", "manifest.json was changed", _EXPORT_AGAIN)
        try:
            tuples = {name: tuple(fields[name]) for name in ("members", "split_digests", "seen_patients")}
            return cls(**{**fields, **tuples})
        except (KeyError, TypeError):
            raise BundleError("BUNDLE_DAMAGED", "manifest.json misses a field", _EXPORT_AGAIN) from None

    def check_files(self, folder: Path) -> None:
        """Raises ``BUNDLE_DAMAGED`` where a file is missing or was changed."""
        for name, digest in self.files.items():
            if not (folder / name).is_file() or sha256_of(folder / name) != digest:
                raise BundleError("BUNDLE_DAMAGED", f"{name} is missing or was changed", _EXPORT_AGAIN)

    def write(self, folder: Path) -> Self:
        """Writes ``manifest.json`` and returns the manifest with its digest."""
        digest = digest_of(dataclasses.asdict(self))
        sealed = dataclasses.replace(self, digest=digest)
        write_json(folder / MANIFEST, dataclasses.asdict(sealed))
        return sealed


def patient_digest(study: str, pseudonym: str) -> str:
    """Keyed digest of a patient's pseudonym: two bundles of a study can be told to share patients, no more."""
    return hmac.new(study.encode(), pseudonym.encode(), hashlib.sha256).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
