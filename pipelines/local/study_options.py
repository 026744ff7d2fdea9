"""A user's options of a local run, checked before a home is made."""

import dataclasses
import json
import os
from typing import Any

from components.common import defaults
from components.common.disk import require_text
from components.common.errors import TrainingError
from components.common.presets import merged, resolve
from components.common.settings import Engine
from components.model.layer_stack import require_gpu_engine
from components.model.own_network import check_network
from components.preprocess.cohort import read_cohort
from components.preprocess.enough_centres import require_centres
from components.train.visible_gpus import visible_gpus
from pipelines.definitions.parameters import StudyParameters


@dataclasses.dataclass(frozen=True, slots=True)
class StudyOptions:
    """A user's options of a run; those that are given win over ``overrides``: the study file's settings and ``--set``.

    A seed of None, and 0 groups or members, mean that the option was not given.
    """

    preset: str
    seed: int | None = None
    groups: int = 0
    members: int = 0
    overrides: dict[str, Any] = dataclasses.field(default_factory=dict)
    experiment: str = defaults.EXPERIMENT
    model_name: str = defaults.MODEL
    members_per_task: int = defaults.MEMBERS_PER_TASK
    gpus: int = 0

    def parameters(self, cohort: str) -> dict[str, Any]:
        """Parameters of the pipeline for the cohort table, folder or S3 prefix; refuses those that cannot be used.

        Raises
        ------
        InputError
            The errors of ``resolve``, of the parameters' checks, of ``read_cohort``, ``require_centres``,
            ``checked_network`` and ``require_gpus``.
        """
        sizes = {name: count for name, count in (("groups", self.groups), ("members", self.members)) if count}
        given = ({"split": sizes} if sizes else {}) | ({} if self.seed is None else {"seed": self.seed})
        overrides = merged(self.overrides, given)
        study = resolve(self.preset, overrides)
        settings = json.dumps({name: value for name, value in overrides.items() if name != "seed"}, sort_keys=True)
        names = ("preset", "groups", "members", "experiment", "model_name", "members_per_task")
        path = cohort.removeprefix("file://")
        require_text(path)
        uri = path if "://" in path else os.path.realpath(path)
        parameters: dict[str, Any] = {"cohort_uri": uri, "seed": study.seed, "settings": settings}
        parameters |= {name: getattr(self, name) for name in names}
        StudyParameters(**parameters)
        require_centres(read_cohort(uri).rows, study)
        check_network(study)
        if self.gpus:
            require_gpus(study.train.engine, self.gpus)
            parameters["gpu_count"] = str(self.gpus)
        return parameters


def require_gpus(engine: Engine, number: int) -> None:
    """Refuses a number of GPUs that the engine does not find on this machine.

    Raises
    ------
    InputError
        ``ENGINE_UNSUITABLE`` for an engine that uses none.
    TrainingError
        ``NO_GPU``, or ``ENGINE_FAILED`` of an engine that cannot be imported.
    """
    require_gpu_engine(engine)
    chosen = "jax" if engine == "auto" else engine
    if (found := visible_gpus(chosen)) < number:
        message = f"--gpus is {number}, but the engine {chosen} finds {found or 'none'} on this machine"
        hint = f"Lower --gpus, or install {chosen} for this machine's GPUs (docs/data-scientist.md)."
        raise TrainingError("NO_GPU", message, hint)
