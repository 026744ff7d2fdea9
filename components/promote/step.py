"""The promotion step: logs and registers the run's models, applies the gate and sets the registry's aliases."""

import dataclasses
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from components.common import tracking
from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import MODEL_CARD, Evaluation
from components.common.artifacts.members import Members
from components.common.artifacts.promotion import Promotion
from components.common.artifacts.splits import Splits
from components.common.errors import RegistryError
from components.common.steps import Progress, write_summary
from components.common.tags import DATASET_DIGEST, GROUP, SPLIT_DIGEST, STUDY_VERSION, SYNTHETIC
from components.model.manifest import STUDY, Manifest
from components.model.signing import SigningKey
from components.promote import registry
from components.promote.bundles import Bundles
from components.promote.change import Change
from components.promote.comparing import change_against
from components.promote.gate import Verdict, decide
from components.promote.load_rule import Files, Loads
from components.promote.story import story_of

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
        bundles = Bundles(Path(scratch), data, run_splits, members)
        manifests = {name: bundles.write_ensemble(name, evaluated) for name in bundles.names}
        name = promoted_ensemble(bundles)
        loads = Loads(lambda one: _to_compare(bundles, one, evaluated), beside)
        before = registry.champion(model_name)
        if not before or before.bundle_digest != manifests[name].digest:
            loads.begin(name)
        bundles.log_members(progress)
        versions = _register(bundles, manifests, Path(evaluation), model_name)
        result = _decide(bundles, evaluated, name, versions, model_name, loads, key)
    result.write(Path(promotion))
    tracking.close_tree(run_splits.tracking, "FINISHED")
    _summarise(result, evaluated, summary, synthetic=data.synthetic)
    return result.version if result.verdict == "promoted" else ""


def promoted_ensemble(bundles: Bundles) -> str:
    """The ensemble that the gate decides on, which the settings name; of a run with one group, that group."""
    what = bundles.splits.settings.promote.what
    return what if what in bundles.names else bundles.names[0]


def _to_compare(bundles: Bundles, name: str, evaluated: Evaluation) -> Files:
    """Folder and Keras file of an ensemble's bundle, and the crops for which to compare them."""
    rows = evaluated.scores[evaluated.scores.role == "evaluation"]
    own = rows if name == STUDY else rows[rows.group == name]
    return bundles.folder(name), bundles.keras_file(name), bundles.crops(sorted(set(own.tumour)))


def _register(bundles: Bundles, manifests: dict[str, Manifest], evaluation: Path, model_name: str) -> dict[str, str]:
    """Logs and registers the run's ensembles, that of all groups first; returns their versions by name."""
    tracked, versions = bundles.splits.tracking, dict[str, str]()
    card = (evaluation / MODEL_CARD).read_text()
    for name, manifest in manifests.items():
        run_id = tracked.parent if name == STUDY else tracked.groups[name]
        uri = bundles.log(run_id, name, f"ensemble-{name}")
        tags = {
            GROUP: name,
            DATASET_DIGEST: bundles.data.digest,
            SPLIT_DIGEST: bundles.splits.digest,
            "srs.image_digest": manifest.image_digest,
            SYNTHETIC: str(bundles.data.synthetic).lower(),
        }
        tags |= {STUDY_VERSION: versions[STUDY]} if STUDY in versions else {}
        versions[name] = registry.register(model_name, uri, run_id, manifest.digest, tags, card)
    return versions


def _decide(
    bundles: Bundles,
    evaluated: Evaluation,
    name: str,
    versions: dict[str, str],
    model_name: str,
    loads: Loads,
    key: SigningKey | None = None,
) -> Promotion:
    """Applies the gate and its verdict, again where another promotion changed the champion meanwhile."""
    version = versions[name]
    for attempt in range(TRIES):
        before = registry.champion(model_name)
        if before and before.version == version:
            return Promotion("promoted", ("This ensemble is already the champion.",), version, name, version, versions)
        changes = _changes(bundles, evaluated, before, model_name) if before else []
        verdict: Verdict = decide(evaluated.metrics, name, changes, loads.of(name), bundles.splits.settings.gate)
        verdict = dataclasses.replace(verdict, story=story_of(verdict, evaluated.metrics, version, bundles.sizes(name)))
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
            decided = verdict.verdict, verdict.reasons, version, name, previous, versions
            return Promotion(*decided, story=verdict.story)
    raise AssertionError("unreachable")


def _changes(bundles: Bundles, evaluated: Evaluation, before: registry.ChampionInfo, model_name: str) -> list[Change]:
    """Comparisons with the champion, and with the reference where that is another version."""
    reference = registry.reference(model_name)
    others = [("champion", before)]
    others += [("reference", reference)] if reference and reference.version != before.version else []
    return [change_against(against, info, bundles, evaluated, model_name) for against, info in others]


def _summarise(result: Promotion, evaluated: Evaluation, path: str, *, synthetic: bool) -> None:
    facts: dict[str, Any] = {
        "in short": result.story or "This ensemble is already the champion.",
        "verdict": result.verdict,
        "ensemble": result.group,
        "version": result.version,
        "previous champion": result.previous_champion or "none",
        "mean AUC of all groups": evaluated.metrics.mean_auc,
        **{f"reason {number}": reason for number, reason in enumerate(result.reasons, start=1)},
    }
    table = [{"ensemble": name, "registry version": version} for name, version in result.versions.items()]
    write_summary(path, "Promotion", facts, table, synthetic=synthetic)
