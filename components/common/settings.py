"""All settings of a study: one frozen class for each step, validated at construction.

Other modules import every class of settings from here.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal, Self

import pydantic

from components.common.checked import Conflicts, checked, setting, validated
from components.common.field_types import Integer, Number
from components.common.network_settings import IMAGE_SIZE_PX as IMAGE_SIZE_PX
from components.common.network_settings import SETTINGS as SETTINGS
from components.common.network_settings import Cha2018Settings, NetworkSettings, with_names
from components.common.network_settings import Settings as Settings
from components.common.preprocess_settings import IMAGE_SIZE_MM as IMAGE_SIZE_MM
from components.common.preprocess_settings import PreprocessSettings as PreprocessSettings
from components.common.setting_types import EXEMPTIONS, EnsembleName, Exemptions, ShortText, names_in
from components.common.split_settings import SplitSettings as SplitSettings
from components.common.split_settings import SplitUnit as SplitUnit
from components.common.train_settings import Engine as Engine
from components.common.train_settings import TrainSettings as TrainSettings

#: Names of an ensemble's scores: the mean probability, and the fraction of votes.
Score = Literal["mean", "vote"]
#: Groups (or centres left out), and members of each, below which a run is promoted only by request: its mean AUC says
#: too little. Without signal, 8 % of runs with three centres would pass (docs/inference.md).
LEAST_GROUPS, LEAST_CENTRES, LEAST_MEMBERS = 5, 4, 10


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
        0.08,
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
