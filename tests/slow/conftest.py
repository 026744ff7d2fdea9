"""A whole study in one process, from phantom DICOM to the figures that the gate reads."""

from pathlib import Path

import pytest

from components.common.artifacts.members import Members
from components.common.artifacts.metrics import Metrics
from components.common.artifacts.splits import Splits
from components.common.settings import StudySettings
from components.evaluate.evaluation import evaluate
from components.model.networks.building import build_network
from components.phantom.phantom import write_cohort
from components.preprocess.cohort import preprocess_cohort
from components.split.splits import make_splits, quotas, shared_patients
from components.train.engine import train_pack


@pytest.fixture
def run_study(tmp_path):
    """``run_study(seed, signal, settings)`` gives the metrics of a run on the default phantom of that seed."""

    def run(seed: int, signal: float, study: StudySettings) -> Metrics:
        table = write_cohort(Path(tmp_path / "cohort"), seed=seed, signal=signal)
        data = preprocess_cohort(str(table), study.preprocess, b"key")
        member_splits = make_splits(data.tumours, study.split, study=study.study, seed=study.seed)
        facts = (
            study.split.split_unit,
            shared_patients(member_splits, data.tumours),
            quotas(member_splits, data.tumours, study.split),
        )
        network = build_network(study)
        splits = Splits(member_splits, *facts, study, network=network.to_dict())
        labels, names = data.tumours.label.to_numpy(), list(data.tumours.tumour)
        trained = train_pack(
            network, data.crops, labels, names, member_splits, study.train, seed=study.seed, dataset_digest=str(seed)
        )
        return evaluate(data, splits, Members(trained, ""), study.evaluate, seed=study.seed).metrics

    return run
