"""The manifest of a bundle: versions, settings, digests and provenance.

This module imports neither ONNX nor ONNX Runtime, so the registry and the gate can read a manifest anywhere.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, Self

from components.common.errors import BundleError
from components.common.files import digest_of, strict_json, write_json
from components.common.limits import MAX_MANIFEST_BYTES
from components.model.manifest_checks import problems
from components.model.plain_file import damaged, read_plain_file

BUNDLE_KIND = "srs-response-ensemble"
#: Version that this release writes, and those that it reads.
BUNDLE_VERSION = 2
READABLE_VERSIONS = (1, 2)
ADDED_BY_VERSION_2 = ("groups", "calibration", "development_scores", "pseudonym_key", "seen_crops")
#: ``group`` of a bundle that holds the members of all groups.
STUDY = "study"
GRAPH = "ensemble.onnx"
MANIFEST = "manifest.json"
#: Name in ``extra`` of the SHA-256 of the Keras model that is registered beside the bundle.
KERAS_DIGEST = "keras_model"
#: The graph's tensors: crops [n, 151, 151] in HU, and each member's probability of non-response [n, members].
INPUT, OUTPUT = "crop_hu", "probabilities"


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """A bundle's description of itself.

    Parameters
    ----------
    group, members
        Name of the group or ``STUDY``, and ids of the members in the order of the graph's output columns.
    groups
        For each group with members here, their ids, and in ``held_out`` the digests of those of ``seen_patients`` that
        none of them has seen: ``{"A": {"members": [..], "held_out": [..]}}``.
    image_definition, image_digest
        How crops are cut, as data, and its digest; only bundles with the same digest can be compared.
    cut_off, ensemble_score
        A tumour is called a non-responder where its primary score (``mean`` or ``vote``) is above ``cut_off``.
    training_crops
        ``{"mean_hu": {"50": ..}, "sd_hu": {..}}``: percentiles over the development tumours' crops.
    calibration
        Platt scaling of the primary score by development predictions: ``{"slope": .., "intercept": .., "n": ..}``; None
        where there were too few.
    development_scores
        Percentiles of the primary score of development predictions, ``{"50": ..}``; empty where there were none.
    seen_patients
        ``patient_digest`` of every patient with a tumour in any member's training or validation set, sorted.
    seen_crops
        ``crop_digests`` of the tumours in these sets, sorted; empty in bundles that were written before there were any.
    pseudonym_key
        Fingerprint of the key of the pseudonyms; bundles with other fingerprints share no pseudonym. "" if unknown.
    export_difference
        Largest difference between the graph's probabilities and those of training.
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
    groups: dict[str, dict[str, list[str]]]
    calibration: dict[str, float] | None
    development_scores: dict[str, float]
    pseudonym_key: str
    seen_crops: tuple[str, ...]
    digest: str = ""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads ``manifest.json`` of a folder; raises as ``read_manifest`` and ``parse``."""
        return cls.parse(read_manifest(folder))

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Parses the bytes of ``manifest.json``, and checks kind, version, its own digest and every field.

        A manifest of version 1 gets values for the fields that it lacks: its members are those of one group.

        Raises
        ------
        BundleError
            ``BUNDLE_UNKNOWN`` for another kind or version, ``BUNDLE_DAMAGED`` for anything else.
        """
        fields = _described(content)
        if fields["version"] == 1:
            fields = {**fields, **_of_version_1(fields)}
        fields = {"seen_crops": [], **fields}
        if set(fields) != {field.name for field in dataclasses.fields(cls)}:
            raise damaged("manifest.json lacks a field, or has an unknown one")
        if invalid := problems(fields):
            raise damaged(f"manifest.json: {'; '.join(invalid)}")
        tuples = {name: tuple(fields[name]) for name in ("members", "split_digests", "seen_patients", "seen_crops")}
        return cls(**{**fields, **tuples})

    def write(self, folder: Path) -> Self:
        """Writes ``manifest.json`` and returns the manifest with its digest."""
        digest = digest_of(dataclasses.asdict(self))
        sealed = dataclasses.replace(self, digest=digest)
        write_json(folder / MANIFEST, dataclasses.asdict(sealed))
        return sealed


def read_manifest(folder: Path) -> bytes:
    """The bytes of ``manifest.json``; raises ``BUNDLE_MISSING``, and as ``read_plain_file``."""
    if not os.path.lexists(folder / MANIFEST):
        hint = "Name the folder that holds manifest.json, or fetch the bundle again."
        raise BundleError("BUNDLE_MISSING", "no bundle in this folder: manifest.json is missing", hint)
    return read_plain_file(folder, MANIFEST, MAX_MANIFEST_BYTES)


def _described(content: bytes) -> dict[str, Any]:
    """The fields of a manifest of our kind and version, whose digest is the one that it states."""
    try:
        parsed = strict_json(content)
        fields = parsed if isinstance(parsed, dict) else {}
        digest = digest_of({**fields, "digest": ""})
    except (ValueError, RecursionError):
        raise damaged("manifest.json is not JSON, or contains NaN or infinity") from None
    kind, version = fields.get("kind"), fields.get("version")
    if kind != BUNDLE_KIND or version not in READABLE_VERSIONS or type(version) is not int:  # True is equal to 1
        message = f"this is not a {BUNDLE_KIND} bundle of version {' or '.join(map(str, READABLE_VERSIONS))}"
        raise BundleError("BUNDLE_UNKNOWN", message, "Serve it with the release that wrote it, or export it again.")
    if fields.get("digest") != digest:
        raise damaged("manifest.json was changed")
    return fields


def ensemble_title(group: str) -> str:
    """An ensemble as people read of it: ``study ensemble``, or ``ensemble of group A``."""
    return "study ensemble" if group == STUDY else f"ensemble of group {group}"


def _of_version_1(fields: dict[str, Any]) -> dict[str, Any]:
    """Values of the fields that version 2 added."""
    added = {name for name in ADDED_BY_VERSION_2 if name in fields}
    if added:
        raise damaged("manifest.json of version 1 has a field of version 2")
    own: dict[str, Any] = {"members": fields.get("members"), "held_out": []}
    unknown: dict[str, Any] = {"calibration": None, "development_scores": {}, "pseudonym_key": ""}
    return {"groups": {str(fields.get("group")): own}, **unknown}
