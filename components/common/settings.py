"""Every setting of a study, one frozen dataclass per step, validated once when it is made.

``resolve(preset, overrides)`` gives the whole ``StudySettings``: the preset's values, then the user's. A
study file, the flags of ``srs run`` and the pipeline parameter ``settings`` all come through here, so a bad
value is refused in words before any work.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal

from components.common.checked import Checked, cast, check_range, setting
from components.common.errors import InputError
from components.common.presets import PRESETS

#: DICOM attributes whose equal value says that two exports are of one patient, and what of their images says it.
IDENTIFYING = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID")
PIXELS, CROPS = "pixels", "crops"
IMAGE_SIZE_PX = 151
IMAGE_SIZE_MM = 40.0


@dataclasses.dataclass(frozen=True, slots=True)
class PreprocessSettings(Checked):
    """From planning CT to crops in HU (STUDY 1 and 2)."""

    slice_rule: Literal["centre", "largest"] = setting(
        "centre", "axial slice: nearest the GTV's volume centroid, or of largest area"
    )
    roi_pattern: str = setting(
        "", "regular expression for GTV names; empty: names by TG-263 (GTV, GTVp1, GTV_02), and structures typed GTV"
    )
    follow_up_window_days: int = setting(92, "days after SRS in which follow-up imaging must lie", 1, 3650)
    min_diameter_mm: float = setting(10.0, "shortest longest diameter included", 0, IMAGE_SIZE_MM)
    max_diameter_mm: float = setting(35.0, "longest longest diameter included", 1, IMAGE_SIZE_MM)
    max_metastases: int = setting(5, "most brain metastases a patient may have", 1, 1000)
    lowest_rung: Literal["uid", "plane"] = setting(
        "plane", "weakest accepted tie of a contour to its slice: its SOPInstanceUID, or its plane position"
    )
    strict: bool = setting(False, "stop at the first tumour that cannot be read, instead of excluding it")
    one_patient: Literal["refuse", "merge"] = setting(
        "refuse", "patient_ids whose DICOM or image is one patient's: refuse the cohort, or take them as one patient"
    )
    shared_attributes: str = setting(
        "",
        "what different patients of this cohort share, with commas, such as the PatientID of an anonymised export or "
        f"the pixels of a phantom; of {', '.join((*IDENTIFYING, PIXELS, CROPS))}",
    )

    def _conflicts(self) -> list[str]:
        problems = []
        if self.min_diameter_mm > self.max_diameter_mm:
            problems.append("min_diameter_mm is above max_diameter_mm")
        if unknown := set(self.shared) - {*IDENTIFYING, PIXELS, CROPS}:
            count = f"{len(unknown)} {'name is' if len(unknown) == 1 else 'names are'} none"
            problems.append(f"shared_attributes: {count} of {', '.join((*IDENTIFYING, PIXELS, CROPS))}, with commas")
        return problems

    @property
    def shared(self) -> tuple[str, ...]:
        """What tells no patients apart in this cohort."""
        return tuple(name.strip() for name in self.shared_attributes.split(",") if name.strip())


@dataclasses.dataclass(frozen=True, slots=True)
class SplitSettings(Checked):
    """Groups of members and their training, validation and evaluation sets (STUDY 3)."""

    groups: int = setting(5, "ensembles, each with an evaluation set of its own", 1, 26)
    members: int = setting(10, "CNNs of an ensemble", 1, 999)
    evaluation_responders: int = setting(12, "responders in an evaluation set", 1, 10**6)
    evaluation_non_responders: int = setting(11, "non-responders in an evaluation set", 1, 10**6)
    validation_fraction: float = setting(0.25, "part of the other tumours that validates a member", 0.05, 0.5)
    split_unit: Literal["patient", "tumour"] = setting(
        "patient",
        "what stays on one side of a split; 'tumour' is the paper's way and leaks between lesions of a patient",
    )


@dataclasses.dataclass(frozen=True, slots=True)
class TrainSettings(Checked):
    """The network and its training protocol (STUDY 4)."""

    filters_1: int = setting(8, "filters of the first convolution", 1, 512)
    filters_2: int = setting(16, "filters of the second convolution", 1, 512)
    kernel_1: int = setting(7, "side of the first kernel, px", 1, 31)
    kernel_2: int = setting(5, "side of the second kernel, px", 1, 31)
    pool_1: int = setting(8, "side and stride of the first max-pool, px", 1, 16)
    pool_2: int = setting(3, "side and stride of the second max-pool, px", 1, 16)
    dense_1: int = setting(32, "units of the first fully connected layer", 1, 4096)
    dense_2: int = setting(16, "units of the second fully connected layer", 1, 4096)
    dropout: float = setting(0.25, "drop-out rate in training", 0.0, 0.9)
    dropout_after: Literal["conv_1", "conv_2", "dense_1", "dense_2"] = setting(
        "conv_2", "layer whose output drop-out sees; of a convolution, after its max-pool"
    )
    window_level_hu: float = setting(40.0, "centre of the CT window", -1000, 3000)
    window_width_hu: float = setting(80.0, "width of the CT window", 1, 6000)
    learning_rate: float = setting(0.01, "step of SGD", 1e-8, 10)
    momentum: float = setting(0.9, "momentum of SGD", 0.0, 0.999)
    batch_size: int = setting(8, "tumours in a step", 1, 4096)
    class_weights: Literal["none", "balanced"] = setting(
        "none", "'balanced' weighs each class's losses by the inverse of its part in the training set"
    )
    weight_decay: float = setting(0.0, "part of every kernel lost in a step of length 1; not in the paper", 0.0, 10)
    augmentation: Literal["none", "flips", "rotations", "both"] = setting(
        "none", "orientations in which training shows a crop: mirrored, quarter turns; not in the paper"
    )
    weight_average: float = setting(
        0.0, "early ensembling: looks and accepts a moving average of weights, this the past's part; not in the paper",
        0.0, 0.9999,
    )  # fmt: skip
    max_steps: int = setting(600, "most steps of one attempt", 1, 10**7)
    validate_every: int = setting(10, "steps between two looks at the validation set", 1, 10**6)
    restart_step: int = setting(150, "step by which restart_accuracy must have been reached", 1, 10**7)
    restart_accuracy: float = setting(0.60, "validation accuracy below which weights are drawn anew", 0.0, 1.0)
    max_restarts: int = setting(4, "new initialisations before the best seen is accepted and flagged", 0, 100)
    good_accuracy: float = setting(0.95, "validation accuracy that ends the training", 0.0, 1.0)
    patience_steps: int = setting(100, "steps without improvement that end the training", 1, 10**7)

    def _conflicts(self) -> list[str]:
        side = IMAGE_SIZE_PX
        for _, kernel, pool in self.convolutions:
            side = max(0, side - kernel + 1) // pool
        problems = [] if side else ["the convolutions and pools leave nothing of the image"]
        if self.restart_step > self.max_steps:
            problems.append("restart_step is beyond max_steps")
        return problems

    @property
    def convolutions(self) -> tuple[tuple[int, int, int], ...]:
        """Filters, side of the kernel and side of the pool of each convolution; ``model.layers`` builds on them."""
        return (self.filters_1, self.kernel_1, self.pool_1), (self.filters_2, self.kernel_2, self.pool_2)

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of each fully connected layer before the last."""
        return self.dense_1, self.dense_2


@dataclasses.dataclass(frozen=True, slots=True)
class EvaluateSettings(Checked):
    """Scores of an ensemble and their statistics (STUDY 5)."""

    ensemble_score: Literal["mean", "vote"] = setting("mean", "primary score: mean probability, or fraction of votes")
    cut_off: float = setting(0.5, "score above which a tumour is called a non-responder", 0.0, 1.0)
    bootstrap: int = setting(2000, "patient-clustered bootstrap samples", 100, 10**6)


@dataclasses.dataclass(frozen=True, slots=True)
class GateSettings(Checked):
    """Rules of promotion."""

    min_mean_auc: float = setting(0.60, "mean ensemble AUC over the groups that a procedure must reach", 0.0, 1.0)
    change: Literal["not_worse", "better", "off"] = setting(
        "not_worse", "what a challenger must show against the champion"
    )
    min_class_size: int = setting(8, "tumours of each class needed to compare with the champion", 1, 10**6)
    max_loss_auc: float = setting(0.05, "paired AUC difference below minus this is refused", 0.0, 1.0)


@dataclasses.dataclass(frozen=True, slots=True)
class StudySettings:
    """All settings of a run."""

    study: str = "srs-response"
    seed: int = 1
    preprocess: PreprocessSettings = dataclasses.field(default_factory=PreprocessSettings)
    split: SplitSettings = dataclasses.field(default_factory=SplitSettings)
    train: TrainSettings = dataclasses.field(default_factory=TrainSettings)
    evaluate: EvaluateSettings = dataclasses.field(default_factory=EvaluateSettings)
    gate: GateSettings = dataclasses.field(default_factory=GateSettings)

    def to_json(self) -> str:
        """JSON text that ``from_json`` reads back."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "StudySettings":
        """Settings from ``dataclasses.asdict`` or parsed JSON."""
        return resolve("default", values)

    @classmethod
    def from_json(cls, text: str) -> "StudySettings":
        """Settings written by ``to_json``."""
        return cls.from_dict(json.loads(text))


SECTIONS: dict[str, type[Checked]] = {
    "preprocess": PreprocessSettings,
    "split": SplitSettings,
    "train": TrainSettings,
    "evaluate": EvaluateSettings,
    "gate": GateSettings,
}


def resolve(preset: str, *overrides: Mapping[str, Any]) -> StudySettings:
    """The settings of a preset, changed by ``overrides`` in their order.

    Parameters
    ----------
    preset
        ``default``, ``paper`` (everything the paper states) or ``fast`` (2 x 3 members).
    overrides
        Mappings such as ``{"seed": 2, "train": {"learning_rate": 0.05}}``.

    Raises
    ------
    InputError
        ``PRESET_UNKNOWN``, ``SETTING_UNKNOWN`` or ``SETTING_INVALID``, naming all problems at once.
    """
    if preset not in PRESETS:
        raise InputError("PRESET_UNKNOWN", f"there is no preset {preset!r}", f"Presets: {', '.join(PRESETS)}.")
    top: dict[str, Any] = {}
    sections: dict[str, dict[str, Any]] = {name: dict(PRESETS[preset].get(name, {})) for name in SECTIONS}
    problems: list[str] = []
    for override in overrides:
        for key, value in override.items():
            if key in SECTIONS and isinstance(value, Mapping):
                sections[key] |= value
            elif key in ("study", "seed"):
                top[key] = value
            else:
                problems.append(f"{key}: not a setting")
    for name, values in sections.items():
        known = {field.name for field in dataclasses.fields(SECTIONS[name])}  # type: ignore[arg-type]
        problems += [f"{name}.{key}: not a setting" for key in values if key not in known]
    if problems:
        raise InputError.collected(
            "SETTING_UNKNOWN", "the study's settings:", problems, "`srs run --settings-help` lists all."
        )
    return _build(top, sections)


def _build(top: dict[str, Any], sections: dict[str, dict[str, Any]]) -> StudySettings:
    built: dict[str, Any] = {}
    problems: list[str] = []
    for name, values in sections.items():
        try:
            built[name] = SECTIONS[name](**values)
        except InputError as error:
            problems.append(error.safe_message)
    try:
        built["seed"] = cast(int, top.get("seed", 1))
        check_range(built["seed"], 0, 2**31 - 1)
        built["study"] = cast(str, top.get("study", "srs-response"))
    except ValueError as error:
        problems.append(f"seed or study: {error}")
    if problems:
        raise InputError(
            "SETTING_INVALID", "\n".join(problems), "`srs run --settings-help` lists all settings and ranges."
        )
    return StudySettings(**built)


def resolve_parameters(preset: str, seed: int, groups: int, members: int, settings: str) -> StudySettings:
    """The settings of a pipeline run from its parameters; 0 groups or members leaves the preset's number.

    Raises
    ------
    InputError
        ``SETTINGS_NOT_JSON``, or what ``resolve`` raises.
    """
    try:
        overrides = json.loads(settings or "{}")
    except ValueError:
        overrides = None
    if not isinstance(overrides, dict):
        hint = 'Give, for example, {"train": {"learning_rate": 0.01}}.'
        raise InputError("SETTINGS_NOT_JSON", "the parameter settings is not a JSON object", hint)
    sizes = {name: count for name, count in (("groups", groups), ("members", members)) if count}
    return resolve(preset, {"seed": seed, "split": sizes}, overrides)
