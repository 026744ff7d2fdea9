"""Registers, promotes, rolls back and signs versions in the MLflow model registry.

Every operation can be repeated: a bundle is logged and registered once, identified by its digest, and an alias is read
before and after it is written. MLflow cannot set an alias conditionally, so only one process writes at a time. MLflow
may also keep an alias to a deleted version: this counts as no champion, and the next promotion moves the alias.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.common.errors import InputError, RegistryError
from components.common.mlflow_client import client
from components.common.mlflow_errors import EXISTS, Ignoring
from components.common.tags import GROUP, REASONS, STORY
from components.common.tracking_store import exclusive
from components.model.bundle_files import Bundle
from components.model.manifest import read_manifest
from components.model.signing import SIGNATURE, SigningKey
from components.promote.bundle_model import DIGEST_TAG, log_bundle
from components.promote.downloads import download, source_uri
from components.promote.gate import Verdict
from components.promote.story import decided_by_a_person
from components.promote.versions import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    PREVIOUS_REFERENCE,
    REFERENCE,
    SIGNED_BY,
    ChampionInfo,
    aliased,
    champion,
    champion_deleted,
    deleted_champion,
    find_version,
    no_previous,
    promotion_hint,
    reference,
    version_info,
    version_of,
)

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "REFERENCE",
    "ChampionInfo",
    "champion",
    "deleted_champion",
    "download",
    "log_bundle",
    "promote",
    "promote_by_hand",
    "reference",
    "register",
    "rollback",
    "sign",
    "source_uri",
    "version_info",
    "version_of",
]

#: MLflow on PostgreSQL or MySQL refuses longer descriptions and tags.
LONGEST_TEXT = 5000


def register(
    model_name: str, model_uri: str, run_id: str, bundle_digest: str, tags: Mapping[str, Any], description: str
) -> str:
    """The version of a bundle, created unless it exists; ``description`` is its model card."""
    with exclusive(model_name):
        with Ignoring(EXISTS):
            client().create_registered_model(model_name)
        condition = f"name = '{model_name}' AND tags.`{DIGEST_TAG}` = '{bundle_digest}'"
        existing = client().search_model_versions(condition)
        if existing:
            return str(min(int(version.version) for version in existing))
        created = client().create_model_version(
            model_name,
            model_uri,
            run_id,
            {**_texts(tags), DIGEST_TAG: bundle_digest},
            description=_cut(description),
            model_id=model_uri.removeprefix("models:/"),
        )
        return str(created.version)


def promote(
    model_name: str, version: str, verdict: Verdict, *, expected_previous: str, new_reference: bool = False
) -> str:
    """Applies a verdict: sets the alias ``champion`` for a promoted version, ``challenger`` for any other.

    A champion becomes the reference too where there is none, or with ``new_reference``.

    Returns
    -------
    str
        The previous champion, or "".

    Raises
    ------
    RegistryError
        ``CHAMPION_MOVED`` where the champion is no longer the one that the verdict was based on: run the gate again.
    """
    with exclusive(model_name):
        before = champion(model_name)
        now = before.version if before else ""
        if now not in (expected_previous, version):
            raise _moved(expected_previous, now)
        previous = before.tags.get(PREVIOUS, "") if before and now == version else now
        facts = {"srs.verdict": verdict.verdict, REASONS: "\n".join(verdict.reasons), GROUP: verdict.group}
        facts |= {STORY: verdict.story} if verdict.story else {}
        facts |= {f"srs.gate.{name}": f"{number:.6g}" for name, number in verdict.numbers.items()}
        _tag(model_name, version, {**facts, PREVIOUS: previous})
        alias = CHAMPION if verdict.verdict == "promoted" else CHALLENGER
        if alias == CHAMPION and aliased(model_name, CHALLENGER) == version:
            client().delete_registered_model_alias(model_name, CHALLENGER)
        if now != version:
            _set(model_name, alias, version)
        if alias == CHAMPION and (new_reference or reference(model_name) is None):
            _set_reference(model_name, version)
        return previous


def promote_by_hand(model_name: str, alias_or_version: str, reason: str, key: SigningKey | None = None) -> str:
    """Makes a version champion by a person's decision, recorded in its tags; returns the previous champion, or "".

    It becomes the reference too, since the person accepts it as the measure of later versions. With a ``key``, its
    bundle is signed first.

    Raises
    ------
    InputError
        ``REASON_MISSING``, or ``VERSION_UNKNOWN`` where no version has that number or alias.
    BundleError
        As ``sign``.
    """
    if not any(letter.isalnum() for letter in reason):
        raise InputError(
            "REASON_MISSING", "a promotion by hand needs a reason", "Add, e.g., --reason 'seen by the tumour board'."
        )
    version = version_of(model_name, alias_or_version)
    if key:
        sign(model_name, version, key)
    now = champion(model_name)
    info = version_info(model_name, version)
    story = decided_by_a_person(info.tags.get(STORY, ""), reason)
    verdict = Verdict("promoted", (f"Decided by a person: {reason}",), info.group, {}, story=story)
    previous = now.version if now else ""
    return promote(model_name, version, verdict, expected_previous=previous, new_reference=True)


def rollback(model_name: str, *, failed_deploy: str = "", reason: str = "") -> str:
    """Makes the champion's predecessor champion again and returns its version.

    With ``failed_deploy`` (a version that could not be deployed) nothing is done if another version has become champion
    since, and a champion whose predecessor does not exist only loses the alias. ``reason`` is stored as a tag.

    Raises
    ------
    RegistryError
        ``NO_CHAMPION``; ``CHAMPION_DELETED``, since only the deleted version recorded its predecessor; ``NO_PREVIOUS``
        where there is no predecessor, or it was deleted.
    """
    with exclusive(model_name):
        now = aliased(model_name, CHAMPION)
        if failed_deploy and now != failed_deploy:
            return now
        if not now:
            raise RegistryError("NO_CHAMPION", "there is no champion to roll back", promotion_hint(model_name))
        info = find_version(model_name, now)
        previous = info.tags.get(PREVIOUS, "") if info else ""
        has_previous = bool(previous) and find_version(model_name, previous) is not None
        if not has_previous and not failed_deploy:
            raise no_previous(model_name, now, previous) if info else champion_deleted(model_name, now)
        if info:
            tag = "srs.deploy_failed" if failed_deploy else "srs.rolled_back"
            _tag(model_name, now, {tag: reason or "no reason given"})
        if has_previous:
            _set(model_name, CHAMPION, previous)
        else:
            client().delete_registered_model_alias(model_name, CHAMPION)
        if aliased(model_name, REFERENCE) == now:
            _restore_reference(model_name, info, previous if has_previous else "")
        return previous if has_previous else ""


def sign(model_name: str, version: str, key: SigningKey) -> None:
    """Signs a version's bundle: uploads ``manifest.sig`` beside its manifest, so that every download includes it.

    The files are verified against the manifest first; an existing signature is replaced.

    Raises
    ------
    BundleError
        As ``download`` and ``Bundle.read``.
    """
    with tempfile.TemporaryDirectory() as scratch:
        bundle = download(model_name, version, Path(scratch))
        (bundle / SIGNATURE).write_bytes(key.sign(read_manifest(bundle)))
        Bundle.read(bundle, key.public)
        model_id = client().get_model_version(model_name, version).source.removeprefix("models:/")
        artifact_folder = bundle.relative_to(scratch).parts[1:]
        client().log_model_artifact(model_id, str(bundle / SIGNATURE), "/".join(artifact_folder))
    _tag(model_name, version, {SIGNED_BY: key.public.fingerprint})


def _set_reference(model_name: str, version: str) -> None:
    former = aliased(model_name, REFERENCE)
    if former != version:
        _tag(model_name, version, {PREVIOUS_REFERENCE: former})
        _set(model_name, REFERENCE, version)


def _restore_reference(model_name: str, rolled_back: ChampionInfo | None, champion_now: str) -> None:
    """The reference before a version that was rolled back, else the champion."""
    former = rolled_back.tags.get(PREVIOUS_REFERENCE, "") if rolled_back else ""
    restored = former if former and find_version(model_name, former) else champion_now
    if restored:
        _set(model_name, REFERENCE, restored)
    else:
        client().delete_registered_model_alias(model_name, REFERENCE)


def _set(model_name: str, alias: str, version: str) -> None:
    client().set_registered_model_alias(model_name, alias, version)
    now = aliased(model_name, alias)
    if now != version:
        raise _moved(version, now)


def _moved(expected: str, now: str) -> RegistryError:
    message = f"the champion is version {now or 'none'}, but {expected or 'none'} was expected"
    return RegistryError(
        "CHAMPION_MOVED", message, "Another promotion ran at the same time: run the same command again."
    )


def _tag(model_name: str, version: str, tags: Mapping[str, Any]) -> None:
    for key, value in _texts(tags).items():
        client().set_model_version_tag(model_name, version, key, value)


def _texts(tags: Mapping[str, Any]) -> dict[str, str]:
    return {key: _cut(str(value)) for key, value in tags.items()}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 2] + " …"
