"""All settings of a study: one frozen class for each step, validated at construction."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal, Self

import pydantic

from components.common.checked import Conflicts, checked, setting, validated
from components.common.field_types import Integer, Number, Truth
from components.common.network_settings import IMAGE_SIZE_PX as IMAGE_SIZE_PX
from components.common.network_settings import NETWORKS, Cha2018Settings, NetworkSettings, with_names
from components.common.network_settings import SETTINGS as SETTINGS
from components.common.network_settings import Settings as Settings
from components.common.setting_types import (
    EXEMPTIONS,
    SHAREABLE,
    EnsembleName,
    Exemptions,
    NetworkName,
    Pattern,
    SharedAttributes,
    ShortText,
    names_in,
)

#: Names of an ensemble's scores: the mean probability, and the fraction of votes.
Score = Literal["mean", "vote"]
SplitUnit = Literal["patient", "centre", "tumour"]
Engine = Literal["auto", "cpu", "jax", "tensorflow"]
IMAGE_SIZE_MM = 40.0
GROUP_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Groups (or centres, whose evaluation sets do not overlap), and members of each, below which a run is promoted only by
#: request: its mean AUC says too little.
LEAST_GROUPS, LEAST_CENTRES, LEAST_MEMBERS = 5, 3, 10


@checked(SETTINGS)
class PreprocessSettings(Settings):
    """From planning CT to crops in HU (STUDY 1 and 2)."""

    slice_rule: Literal["centre", "largest"] = setting(
        "centre",
        "axial slice that is cut out: the one nearest to the centroid of the GTV's volume (centre), or the one with "
        "the largest area of GTV (largest)",
    )
    roi_pattern: Pattern = setting(
        "",
        "regular expression for the names of the structures that are GTVs; empty: names by TG-263 (GTV, GTVp1, GTV_02) "
        "and structures whose type is GTV",
    )
    follow_up_window_days: Integer = setting(
        92, "longest time from SRS to the follow-up imaging that decides the response, days", 1, 3650
    )
    min_diameter_mm: Number = setting(10.0, "smallest lesion included (longest diameter, mm)", 0, IMAGE_SIZE_MM)
    max_diameter_mm: Number = setting(35.0, "largest lesion included (longest diameter, mm)", 1, IMAGE_SIZE_MM)
    max_metastases: Integer = setting(5, "largest number of brain metastases that an included patient has", 1, 1000)
    lowest_match_level: Literal["uid", "plane"] = setting(
        "plane",
        "weakest accepted match of a contour to its CT slice: the slice's SOPInstanceUID (uid), or else the position "
        "of its plane (plane)",
        names=("lowest_match_level", "lowest_rung"),
    )
    strict: Truth = setting(
        False, "whether the run stops at the first tumour that cannot be read; otherwise that tumour is excluded"
    )
    one_patient: Literal["refuse", "merge"] = setting(
        "refuse",
        "what happens where different patient_ids have the DICOM identifiers or images of one patient: the cohort is "
        "refused (refuse), or they are treated as one patient (merge)",
    )
    shared_attributes: SharedAttributes = setting(
        "",
        "what different patients of this cohort have in common and so does not identify one, separated by commas: the "
        f"PatientID of an anonymised export, or the pixels of a phantom; any of {', '.join(SHAREABLE)}",
    )

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        if self.min_diameter_mm > self.max_diameter_mm:
            raise Conflicts("min_diameter_mm is above max_diameter_mm")
        return self

    @property
    def shared(self) -> tuple[str, ...]:
        """The attributes that do not distinguish patients of this cohort."""
        return names_in(self.shared_attributes)


@checked(SETTINGS)
class SplitSettings(Settings):
    """Groups of members and their training, validation and evaluation sets (STUDY 3)."""

    groups: Integer = setting(
        5,
        "number of ensembles, each with an evaluation set of its own; where splits are by centre, the largest number "
        "of centres that are left out in turn, those with most tumours first",
        1,
        26,
    )
    members: Integer = setting(10, "number of CNNs in each ensemble", 1, 999)
    repeats: Integer = setting(
        1,
        "number of times that the evaluation sets of all groups are drawn; groups of later draws (F to J, and so on) "
        "only estimate, and their evaluation sets prefer patients who were not evaluated yet",
        1,
        26,
    )
    evaluation_responders: Integer = setting(12, "number of responding tumours in each evaluation set", 1, 10**6)
    evaluation_non_responders: Integer = setting(
        11, "number of non-responding tumours in each evaluation set", 1, 10**6
    )
    validation_fraction: Number = setting(
        0.25, "fraction of the tumours outside the evaluation set that validates a CNN; the rest trains it", 0.05, 0.5
    )
    split_unit: SplitUnit = setting(
        "patient",
        "what is never divided between evaluation and the other sets: all tumours of a patient (patient), or of a "
        "centre, each of which is left out in turn and is then the whole evaluation set (centre); or only each tumour "
        "(tumour), as in the paper, which leaks information between lesions of one patient",
    )
    min_centre_class_size: Integer = setting(
        8,
        "smallest number of tumours of each class with which a centre is left out in turn, where splits are by centre; "
        "smaller centres, and patients whose centre is unknown, only train and validate",
        1,
        10**6,
    )

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        if self.groups * self.repeats > len(GROUP_NAMES):
            count = self.groups * self.repeats
            raise Conflicts(f"groups times repeats are {count}, but at most {len(GROUP_NAMES)} groups can be named")
        if self.split_unit == "centre" and self.repeats > 1:
            raise Conflicts(f"repeats is {self.repeats}, but a centre that is left out has only one evaluation set")
        return self

    @property
    def bundled_members(self) -> int:
        """Most members of a bundle, that of all groups of the first draw; fewer where there are fewer centres."""
        return self.groups * self.members

    @property
    def group_names(self) -> str:
        """The letters of all groups, those of the first draw first; the last ones are unused if centres are fewer."""
        return GROUP_NAMES[: self.groups * self.repeats]


@checked(SETTINGS)
class TrainSettings(Settings):
    """The image that a network sees, and the training protocol (STUDY 4)."""

    network: NetworkName = setting(
        "cha2018",
        f"the network: {' or '.join(NETWORKS)}, or a function of your own as package.module:function; its settings are "
        "the section network",
    )
    engine: Engine = setting(
        "auto",
        "what trains: compiled loops on CPU (cpu), which know the layers of cha2018; programs of JAX or TensorFlow for "
        "packs of CNNs (jax, tensorflow); or cpu where it knows the layers and no GPU was requested, else jax (auto)",
    )
    window_level_hu: Number = setting(40.0, "centre of the CT window, HU", -1000, 3000)
    window_width_hu: Number = setting(80.0, "width of the CT window, HU", 1, 6000)
    learning_rate: Number = setting(0.01, "learning rate of stochastic gradient descent", 1e-8, 10)
    momentum: Number = setting(0.9, "momentum of stochastic gradient descent", 0.0, 0.999)
    batch_size: Integer = setting(8, "number of tumours in the mini-batch of one training step", 1, 4096)
    class_weights: Literal["none", "balanced"] = setting(
        "none",
        "weights of the two classes in the loss: equal (none), or the inverse of each class's frequency in the "
        "training set (balanced)",
    )
    weight_decay: Number = setting(
        0.0,
        "decoupled weight decay of all kernels: a step takes this fraction times the learning rate from each; "
        "not in the paper",
        0.0,
        10,
    )
    augmentation: Literal["none", "flips", "rotations", "both"] = setting(
        "none",
        "random orientation in which training sees a crop: mirrored (flips), turned by multiples of 90 degrees "
        "(rotations), or both; not in the paper",
    )
    weight_average: Number = setting(
        0.0,
        "decay of an exponential moving average of the weights, which is then validated and kept instead of the "
        "weights themselves; 0: no average; not in the paper",
        0.0,
        0.9999,
    )
    max_steps: Integer = setting(600, "largest number of training steps of one attempt", 1, 10**7)
    validate_every: Integer = setting(10, "number of training steps between two validation checks", 1, 10**6)
    restart_step: Integer = setting(
        150, "training step by which a validation check must have reached restart_accuracy", 1, 10**7
    )
    restart_accuracy: Number = setting(
        0.60,
        "validation accuracy that an attempt must reach by restart_step; otherwise it restarts from new random weights",
        0.0,
        1.0,
    )
    max_restarts: Integer = setting(
        4, "largest number of restarts; after that the best weights so far are used, and the CNN is flagged", 0, 100
    )
    good_accuracy: Number = setting(0.95, "validation accuracy at which training ends", 0.0, 1.0)
    patience_steps: Integer = setting(
        100, "number of training steps without a better validation check after which training ends", 1, 10**7
    )

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        if self.restart_step > self.max_steps:
            raise Conflicts("restart_step is beyond max_steps")
        return self


@checked(SETTINGS)
class EvaluateSettings(Settings):
    """Scores of an ensemble and their statistics (STUDY 5)."""

    ensemble_score: Score = setting(
        "mean",
        "primary score of an ensemble: the mean of its CNNs' probabilities of non-response (mean), or the fraction of "
        "its CNNs that call a non-responder (vote)",
    )
    cut_off: Number = setting(0.5, "score above which a tumour is called a non-responder", 0.0, 1.0)
    bootstrap: Integer = setting(
        2000, "number of bootstrap samples, drawn by patient, behind each confidence interval", 100, 10**6
    )


@checked(SETTINGS)
class PromoteSettings(Settings):
    """The ensemble that the gate decides on; the ensembles of all groups are registered in any case."""

    what: EnsembleName = setting(
        "study",
        "ensemble that is promoted: all CNNs of all groups (study), or those of one group that is named beforehand, "
        "such as A",
    )


@checked(SETTINGS)
class GateSettings(Settings):
    """Rules of promotion: the evaluation with which a new model becomes the champion."""

    min_mean_auc: Number = setting(
        0.60, "smallest mean over the groups of the ensembles' AUC with which a model is promoted", 0.0, 1.0
    )
    change: Literal["not_worse", "better", "off"] = setting(
        "not_worse",
        "what the new model must show against the champion on the same tumours: that it is not worse (not_worse), that "
        "it is better (better), or nothing (off)",
    )
    min_centre_auc: Number = setting(
        0.50,
        "smallest AUC at any of the centres that were left out with which a model is promoted, where splits are by "
        "centre",
        0.0,
        1.0,
    )
    min_class_size: Integer = setting(
        8, "smallest number of tumours of each class on which two ensembles of a group are compared", 1, 10**6
    )
    max_loss_auc: Number = setting(
        0.10,
        "loss of mean AUC against champion and reference that a one-sided 95 % bound must rule out, for a model to "
        "count as not worse",
        0.0,
        1.0,
    )
    accept: Exemptions = setting(
        "",
        "what the gate would otherwise refuse, separated by commas: runs split by tumour (tumour_splits), and runs of "
        f"fewer than {LEAST_GROUPS} groups, or {LEAST_CENTRES} centres, of {LEAST_MEMBERS} (few_members)",
    )

    def accepts(self, exemption: str) -> bool:
        """Whether a run is promoted although it is one of ``EXEMPTIONS``."""
        assert exemption in EXEMPTIONS
        return exemption in names_in(self.accept)


@checked(SETTINGS)
class StudySettings:
    """All settings of a run."""

    study: ShortText = setting("srs-response", "name of the study; it decides which tumours each evaluation set holds")
    seed: Integer = setting(
        1,
        "seed of the training and validation sets and of the initial weights; the evaluation sets do not depend on it",
        0,
        2**31 - 1,
    )
    preprocess: PreprocessSettings = dataclasses.field(default_factory=PreprocessSettings)
    split: SplitSettings = dataclasses.field(default_factory=SplitSettings)
    train: TrainSettings = dataclasses.field(default_factory=TrainSettings)
    network: NetworkSettings = pydantic.Field(default_factory=dict, validate_default=True)
    evaluate: EvaluateSettings = dataclasses.field(default_factory=EvaluateSettings)
    promote: PromoteSettings = dataclasses.field(default_factory=PromoteSettings)
    gate: GateSettings = dataclasses.field(default_factory=GateSettings)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _name_the_network(cls, values: Any) -> Any:
        return with_names(values)

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        groups = self.split.group_names[: self.split.groups]
        if self.promote.what not in ("study", *groups):
            raise Conflicts(f"promote.what is {self.promote.what}, but the groups are {', '.join(groups)}")
        return self

    def to_json(self) -> str:
        """JSON text that ``from_json`` reads back."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "StudySettings":
        """Settings from ``dataclasses.asdict`` or parsed JSON; what is missing there has its default.

        Raises
        ------
        InputError
            ``SETTING_UNKNOWN`` or ``SETTING_INVALID``, naming all problems at once.
        """
        return validated(StudySettings, values, SETTINGS)

    @classmethod
    def from_json(cls, text: str) -> "StudySettings":
        """Settings written by ``to_json``."""
        return cls.from_dict(json.loads(text))


SECTIONS: dict[str, type[Settings]] = {
    "preprocess": PreprocessSettings,
    "split": SplitSettings,
    "train": TrainSettings,
    "network": Cha2018Settings,
    "evaluate": EvaluateSettings,
    "promote": PromoteSettings,
    "gate": GateSettings,
}
