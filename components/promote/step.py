"""The promotion step: logs and registers the run's models, applies the gate and sets the registry's aliases."""

import dataclasses
import tempfile
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.common import tracking
from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import MODEL_CARD, Evaluation
from components.common.artifacts.members import Member, Members
from components.common.artifacts.promotion import Promotion
from components.common.artifacts.splits import Splits
from components.common.errors import BundleError, RegistryError
from components.common.files import digest_of_file
from components.common.steps import Progress, write_summary
from components.common.tags import DATASET_DIGEST, GROUP, SPLIT_DIGEST, SYNTHETIC
from components.model.bundle import write_bundle
from components.model.keras_export import ensemble_model, save_keras
from components.model.manifest import KERAS_DIGEST, Manifest, patient_digest
from components.model.networks.building import network_of
from components.model.runtime import Ensemble
from components.model.signing import SigningKey
from components.phantom.phantom import golden_case
from components.promote import registry
from components.promote.gate import Change, Contender, Trial, Verdict, choose_group, compare, decide
from components.promote.load_rule import Loads

WRITERS = 4  # models logged at a time
TRIES = 3  # of the gate, where another promotion ran at the same time


def run(
    dataset: str,
    splits: str,
    packs: Sequence[str],
    evaluation: str,
    model_name: str,
    promotion: str,
    summary: str,
    progress: Progress,
) -> str:
    """Logs and registers all models, applies the gate, and returns the promoted version or "".

    A promoted version is signed first if ``SRS_SIGNING_KEY`` or ``SRS_SIGNING_KEY_FILE`` provides a key.
    """
    key = SigningKey.from_environment()  # first, so that an unreadable key is reported before any work
    data, run_splits = Dataset.read(Path(dataset)), Splits.read(Path(splits))
    members = Members.gather([Path(pack) for pack in packs], run_splits).members
    evaluated = Evaluation.read(Path(evaluation))
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(1) as beside:
        bundles = _Bundles(Path(scratch), data, run_splits)
        extra = {"mean_auc_of_groups": evaluated.metrics.mean_auc}
        manifests = {
            group: bundles.write(group, [member for member in members if member.split.group == group], extra)
            for group in run_splits.groups
        }
        loads = Loads(lambda group: bundles.to_compare(group, _evaluated(evaluated, group).tumour), beside)
        before = registry.champion(model_name)
        likely = choose_group(evaluated.metrics, before.group if before else None)
        if not before or before.bundle_digest != manifests[likely].digest:
            loads.begin(likely)
        _log_members(bundles, members, progress)
        versions = {
            group: _register(bundles, group, manifest, evaluation, model_name) for group, manifest in manifests.items()
        }
        result = _decide(bundles, evaluated, versions, model_name, loads, key)
    result.write(Path(promotion))
    tracking.close_tree(run_splits.tracking, "FINISHED")
    _summarise(result, evaluated, summary, synthetic=data.synthetic)
    return result.version if result.verdict == "promoted" else ""


class _Bundles:
    """Writes bundles of a run's members, and the same members as Keras models, into a scratch folder."""

    def __init__(self, scratch: Path, data: Dataset, splits: Splits) -> None:
        self.scratch = scratch
        self.data = data
        self.splits = splits
        self.golden = golden_case()
        self._network = network_of(splits)
        self._keras = threading.Lock()  # building a model resets Keras' state for all threads

    def folder(self, name: str) -> Path:
        return self.scratch / name

    def keras_file(self, name: str) -> Path:
        return self.scratch / f"{name}.keras"

    def write(self, name: str, members: Sequence[Member], extra: dict[str, Any] | None = None) -> Manifest:
        settings, keras_file = self.splits.settings, self.keras_file(name)
        weights = [(member.id, member.weights) for member in members]
        with self._keras:
            save_keras(ensemble_model(self._network, weights, settings.train), keras_file)
            return write_bundle(
                self.folder(name),
                members,
                dataset=self.data,
                network=self._network,
                settings=settings,
                golden=self.golden,
                extra={**(extra or {}), KERAS_DIGEST: digest_of_file(keras_file)},
            )

    def log(self, run_id: str, name: str, title: str) -> str:
        """Logs what ``write`` wrote as an MLflow model of a run; returns its URI."""
        return registry.log_bundle(run_id, self.folder(name), title, self.keras_file(name))

    def to_compare(self, group: str, tumours: Iterable[str]) -> tuple[Path, Path, NDArray[np.float32]]:
        """Folder and Keras file of a group's bundle, and the crops for which to compare them."""
        return self.folder(group), self.keras_file(group), self.crops(tumours)

    def crops(self, tumours: Iterable[str]) -> NDArray[np.float32]:
        """The crops [n, 151, 151] of tumours, HU."""
        position = {name: row for row, name in enumerate(self.data.tumours.tumour)}
        return self.data.crops[[position[name] for name in tumours]]


def _log_members(bundles: _Bundles, members: Sequence[Member], progress: Progress) -> None:
    """Logs every member as a model of its own run."""
    runs = tracking.member_runs(bundles.splits.tracking)

    def log(member: Member) -> None:
        bundles.write(member.id, [member])
        bundles.log(runs[member.id], member.id, f"member-{member.id}")

    with ThreadPoolExecutor(WRITERS) as pool:
        for done, _ in enumerate(pool.map(log, members), start=1):
            progress(done, len(members), "models logged")


def _register(bundles: _Bundles, group: str, manifest: Manifest, evaluation: str, model_name: str) -> str:
    """Logs and registers a group's ensemble; returns its version."""
    run_id = bundles.splits.tracking.groups[group]
    uri = bundles.log(run_id, group, f"ensemble-{group}")
    tags = {
        GROUP: group,
        DATASET_DIGEST: bundles.data.digest,
        SPLIT_DIGEST: bundles.splits.digest,
        "srs.image_digest": manifest.image_digest,
        SYNTHETIC: str(bundles.data.synthetic).lower(),
    }
    card = (Path(evaluation) / MODEL_CARD).read_text()
    return registry.register(model_name, uri, run_id, manifest.digest, tags, card)


def _decide(
    bundles: _Bundles,
    evaluated: Evaluation,
    versions: dict[str, str],
    model_name: str,
    loads: Loads,
    key: SigningKey | None = None,
) -> Promotion:
    """Applies the gate and its verdict, again where another promotion changed the champion meanwhile."""
    for attempt in range(TRIES):
        before = registry.champion(model_name)
        group = choose_group(evaluated.metrics, before.group if before else None)
        version = versions[group]
        if before and before.version == version:
            return Promotion("promoted", ("This ensemble is already the champion.",), version, group, version, versions)
        change = _change(bundles, evaluated, group, before, model_name) if before else None
        verdict: Verdict = decide(evaluated.metrics, group, change, loads.of(group), bundles.splits.settings.gate)
        if deleted := registry.deleted_champion(model_name):
            note = f"Version {deleted}, the former champion, was deleted in the registry, so there was no comparison."
            verdict = dataclasses.replace(verdict, reasons=(*verdict.reasons, note))
        if key and verdict.verdict == "promoted":
            registry.sign(model_name, version, key)
        try:
            previous = before.version if before else ""
            registry.promote(model_name, version, verdict, expected_previous=previous)
        except RegistryError as error:
            if error.code != "CHAMPION_MOVED" or attempt == TRIES - 1:
                raise
        else:
            return Promotion(verdict.verdict, verdict.reasons, version, group, previous, versions)
    raise AssertionError("unreachable")


def _change(
    bundles: _Bundles, evaluated: Evaluation, group: str, before: registry.ChampionInfo, model_name: str
) -> Change:
    """The challenger against the champion on the group's evaluation tumours."""
    try:
        folder = registry.download(model_name, before.version, bundles.folder(f"champion-{before.version}"))
        champion = Ensemble.open(folder)
    except BundleError as error:
        return Change((f"the champion cannot be opened: {error.safe_message}.",))
    rows = _evaluated(evaluated, group)
    crops = bundles.crops(rows.tumour)
    study, score = bundles.splits.settings.study, bundles.splits.settings.evaluate.ensemble_score
    trial = Trial(
        labels=rows.label.tolist(),
        patients=[patient_digest(study, patient) for patient in rows.patient],
        champion=[answer.score for answer in champion.answer(crops)],
        challenger=rows[score].tolist(),
    )
    challenger = Manifest.read(bundles.folder(group))
    ours, theirs = (Contender.from_manifest(dataclasses.asdict(side)) for side in (challenger, champion.manifest))
    return compare(ours, theirs, trial, bundles.splits.settings.gate)


def _evaluated(evaluated: Evaluation, group: str) -> pd.DataFrame:
    """The scores of a group's evaluation tumours."""
    return evaluated.scores[(evaluated.scores.group == group) & (evaluated.scores.role == "evaluation")]


def _summarise(result: Promotion, evaluated: Evaluation, path: str, *, synthetic: bool) -> None:
    facts: dict[str, Any] = {
        "verdict": result.verdict,
        "group": result.group,
        "version": result.version,
        "previous champion": result.previous_champion or "none",
        "mean AUC of all groups": evaluated.metrics.mean_auc,
        **{f"reason {number}": reason for number, reason in enumerate(result.reasons, start=1)},
    }
    table = [{"ensemble": group, "registry version": version} for group, version in result.versions.items()]
    write_summary(path, "Promotion", facts, table, synthetic=synthetic)
