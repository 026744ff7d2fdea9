"""The MLflow model registry: bundles as models, versions, and the aliases ``champion`` and ``challenger``.

Every step can be done again: a bundle is logged and registered once, known by its digest, and an alias is read
before and after it is written. MLflow sets aliases without any condition, so writers also take turns.
"""

import contextlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from components.common.errors import BundleError, RegistryError
from components.common.files import safe_name
from components.common.tracking_store import client, exclusive, told, tracking_uri
from components.promote.bundle_model import DIGEST_TAG, log_bundle
from components.promote.gate import Verdict
from components.promote.manifest import Manifest

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "ChampionInfo",
    "champion",
    "download",
    "log_bundle",
    "promote",
    "promote_by_hand",
    "register",
    "rollback",
    "source_uri",
    "version_info",
    "version_of",
]

CHAMPION, CHALLENGER = "champion", "challenger"
PREVIOUS = "srs.previous_champion"
#: MLflow on PostgreSQL or MySQL refuses longer descriptions and tags.
LONGEST_TEXT = 5000


@dataclass(frozen=True, slots=True)
class ChampionInfo:
    """A registry version; ``tags`` hold its verdict, reasons, thresholds and previous champion."""

    version: str
    run_id: str
    group: str
    bundle_digest: str
    tags: dict[str, str]


@told
def register(
    model_name: str, model_uri: str, run_id: str, bundle_digest: str, tags: Mapping[str, Any], description: str
) -> str:
    """The version of a bundle, made unless it exists; ``description`` is its model card."""
    with exclusive(model_name):
        with contextlib.suppress(MlflowException):  # it exists
            client().create_registered_model(model_name)
        which = f"name = '{model_name}' AND tags.`{DIGEST_TAG}` = '{bundle_digest}'"
        found = client().search_model_versions(which)
        if found:
            return str(min(int(version.version) for version in found))
        made = client().create_model_version(
            model_name,
            model_uri,
            run_id,
            {**_texts(tags), DIGEST_TAG: bundle_digest},
            description=_cut(description),
            model_id=model_uri.removeprefix("models:/"),
        )
        return str(made.version)


@told
def champion(model_name: str) -> ChampionInfo | None:
    """The champion now, or None."""
    version = _aliased(model_name, CHAMPION)
    return version_info(model_name, version) if version else None


def version_info(model_name: str, version: str) -> ChampionInfo:
    """What the registry knows of a version."""
    found: ModelVersion = client().get_model_version(model_name, version)
    tags = dict(found.tags)
    return ChampionInfo(str(found.version), found.run_id, tags.get("srs.group", ""), tags.get(DIGEST_TAG, ""), tags)


@told
def promote(model_name: str, version: str, verdict: Verdict, *, expected_previous: str) -> str:
    """Carries out a verdict: the alias ``champion`` for a promoted version, ``challenger`` for another.

    Returns
    -------
    str
        The champion before, or "".

    Raises
    ------
    RegistryError
        ``CHAMPION_MOVED`` where the champion is not the one that the verdict was made against: run the gate again.
    """
    with exclusive(model_name):
        now = _aliased(model_name, CHAMPION)
        if now not in (expected_previous, version):
            raise _moved(expected_previous, now)
        previous = now if now != version else client().get_model_version(model_name, version).tags.get(PREVIOUS, "")
        facts = {"srs.verdict": verdict.verdict, "srs.reasons": "\n".join(verdict.reasons), "srs.group": verdict.group}
        facts |= {f"srs.gate.{name}": f"{number:.6g}" for name, number in verdict.numbers.items()}
        _tag(model_name, version, {**facts, PREVIOUS: previous})
        alias = CHAMPION if verdict.verdict == "promoted" else CHALLENGER
        if alias == CHAMPION and _aliased(model_name, CHALLENGER) == version:
            client().delete_registered_model_alias(model_name, CHALLENGER)
        if now != version:
            _set(model_name, alias, version)
        return previous


def promote_by_hand(model_name: str, version: str, reason: str) -> str:
    """Makes a version champion by a person's decision, which its tags then tell; returns the champion before."""
    now = champion(model_name)
    verdict = Verdict("promoted", (f"Decided by a person: {reason}",), version_info(model_name, version).group, {})
    return promote(model_name, version, verdict, expected_previous=now.version if now else "")


@told
def rollback(model_name: str, *, failed_deploy: str = "", reason: str = "") -> str:
    """Makes the champion's predecessor champion again and returns its version.

    With ``failed_deploy`` (a version that could not be deployed) nothing is done where the alias has moved on from
    it, and a first champion just loses the alias. ``reason`` is kept as a tag.

    Raises
    ------
    RegistryError
        ``NO_CHAMPION``, or ``NO_PREVIOUS`` where there is nothing to go back to.
    """
    with exclusive(model_name):
        now = _aliased(model_name, CHAMPION)
        if failed_deploy and now != failed_deploy:
            return now
        if not now:
            raise RegistryError("NO_CHAMPION", "there is no champion to roll back")
        previous = str(client().get_model_version(model_name, now).tags.get(PREVIOUS, ""))
        if not previous and not failed_deploy:
            hint = "`srs promote VERSION --reason TEXT` names another version."
            raise RegistryError("NO_PREVIOUS", f"version {now} had no champion before it", hint)
        why = "srs.deploy_failed" if failed_deploy else "srs.rolled_back"
        _tag(model_name, now, {why: reason or "no reason given"})
        if previous:
            _set(model_name, CHAMPION, previous)
        else:
            client().delete_registered_model_alias(model_name, CHAMPION)
        return previous


@told
def source_uri(model_name: str, version: str) -> str:
    """Where the version's files lie: what a deployment pins. It never changes for a version."""
    return str(client().get_model_version_download_uri(model_name, version))


@told
def version_of(model_name: str, alias_or_version: str) -> str:
    """The number of a version, or of the one that has an alias; ``NO_CHAMPION`` where none has it."""
    version = alias_or_version if alias_or_version.isdigit() else _aliased(model_name, alias_or_version)
    if not version:
        hint = "Run the pipeline, or `srs promote VERSION --reason TEXT`."
        raise RegistryError("NO_CHAMPION", f"no version of {model_name} has the alias {alias_or_version}", hint)
    return version


@told
def download(model_name: str, alias_or_version: str, dst: Path) -> Path:
    """Fetches a version into a folder of its own in ``dst`` unless it is there; the folder of its bundle.

    Raises ``NO_CHAMPION`` as ``version_of``, and ``BUNDLE_DAMAGED`` where the bundle is not the one registered.
    """
    version = version_of(model_name, alias_or_version)
    info = version_info(model_name, version)
    folder = dst / f"{safe_name(model_name)}-{version}-{info.bundle_digest[:12]}"
    if not folder.is_dir():
        dst.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=dst) as scratch:
            uri = source_uri(model_name, version)
            local = mlflow.artifacts.download_artifacts(uri, dst_path=scratch, tracking_uri=tracking_uri())
            Path(local).replace(folder)
    bundle = folder / str(Model.load(str(folder)).flavors["python_function"]["artifacts"]["bundle"]["path"])
    if Manifest.read(bundle).digest != info.bundle_digest:
        raise BundleError("BUNDLE_DAMAGED", f"version {version} holds another bundle than was registered")
    return bundle


def _aliased(model_name: str, alias: str) -> str:
    """The version that has an alias; "" where none has, or where there is no such model yet."""
    found = client().search_registered_models(f"name = '{model_name}'")
    return str(found[0].aliases.get(alias, "")) if found else ""


def _set(model_name: str, alias: str, version: str) -> None:
    client().set_registered_model_alias(model_name, alias, version)
    now = _aliased(model_name, alias)
    if now != version:
        raise _moved(version, now)


def _moved(expected: str, now: str) -> RegistryError:
    message = f"the champion is version {now or 'none'} and was expected to be {expected or 'none'}"
    return RegistryError("CHAMPION_MOVED", message, "Another promotion ran beside this one: run the gate again.")


def _tag(model_name: str, version: str, tags: Mapping[str, Any]) -> None:
    for key, value in _texts(tags).items():
        client().set_model_version_tag(model_name, version, key, value)


def _texts(tags: Mapping[str, Any]) -> dict[str, str]:
    return {key: _cut(str(value)) for key, value in tags.items()}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 2] + " …"
