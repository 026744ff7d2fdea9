"""Settings of splitting: groups, members, and what is never divided between sets."""

from typing import Literal, Self

import pydantic

from components.common.checked import Conflicts, checked, setting
from components.common.field_types import Integer, Number
from components.common.network_settings import SETTINGS, Settings

SplitUnit = Literal["patient", "centre", "tumour"]
GROUP_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


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
        if self.split_unit == "centre" and self.groups < 2:
            raise Conflicts(f"groups is {self.groups}, but at least 2 centres must be left out in turn")
        return self

    @property
    def bundled_members(self) -> int:
        """Most members of a bundle, that of all groups of the first draw; fewer where there are fewer centres."""
        return self.groups * self.members

    @property
    def group_names(self) -> str:
        """The letters of all groups, those of the first draw first; the last ones are unused if centres are fewer."""
        return GROUP_NAMES[: self.groups * self.repeats]
