"""The MLflow model registry: bundles as models, versions, and the aliases ``champion`` and ``challenger``.

Every step can be done again: a bundle is logged and registered once, known by its digest, and an alias is read
before and after it is written. MLflow sets aliases without any condition, so writers also take turns. It may also leave
an alias to a version that was deleted: such a champion is none, and the next promotion takes the alias over.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.common.errors import InputError, RegistryError
from components.common.mlflow_door import client
from components.common.mlflow_errors import EXISTS, Ignoring
from components.common.tracking_store import exclusive
from components.model.bundle_files import Bundle
from components.model.manifest import read_manifest
from components.model.signing import SIGNATURE, SigningKey
from components.promote.bundle_model import DIGEST_TAG, log_bundle
from components.promote.downloads import download, source_uri
from components.promote.gate import Verdict
from components.promote.versions import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    SIGNED_BY,
    ChampionInfo,
    aliased,
    champion,
    champion_deleted,
    deleted_champion,
    found,
    no_way_back,
    version_info,
    version_of,
    ways_out,
)

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "ChampionInfo",
    "champion",
    "deleted_champion",
    "download",
    "log_bundle",
    "promote",
    "promote_by_hand",
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
    """The version of a bundle, made unless it exists; ``description`` is its model card."""
    with exclusive(model_name):
        with Ignoring(EXISTS):
            client().create_registered_model(model_name)
        which = f"name = '{model_name}' AND tags.`{DIGEST_TAG}` = '{bundle_digest}'"
        there = client().search_model_versions(which)
        if there:
            return str(min(int(version.version) for version in there))
        made = client().create_model_version(
            model_name,
            model_uri,
            run_id,
            {**_texts(tags), DIGEST_TAG: bundle_digest},
            description=_cut(description),
            model_id=model_uri.removeprefix("models:/"),
        )
        return str(made.version)


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
        before = champion(model_name)
        now = before.version if before else ""
        if now not in (expected_previous, version):
            raise _moved(expected_previous, now)
        previous = before.tags.get(PREVIOUS, "") if before and now == version else now
        facts = {"srs.verdict": verdict.verdict, "srs.reasons": "\n".join(verdict.reasons), "srs.group": verdict.group}
        facts |= {f"srs.gate.{name}": f"{number:.6g}" for name, number in verdict.numbers.items()}
        _tag(model_name, version, {**facts, PREVIOUS: previous})
        alias = CHAMPION if verdict.verdict == "promoted" else CHALLENGER
        if alias == CHAMPION and aliased(model_name, CHALLENGER) == version:
            client().delete_registered_model_alias(model_name, CHALLENGER)
        if now != version:
            _set(model_name, alias, version)
        return previous


def promote_by_hand(model_name: str, alias_or_version: str, reason: str, key: SigningKey | None = None) -> str:
    """Makes a version champion by a person's decision, which its tags then tell; returns the champion before, or "".

    With a ``key`` its bundle is signed first.

    Raises
    ------
    InputError
        ``REASON_MISSING``, or ``VERSION_UNKNOWN`` where no version has that number or alias.
    BundleError
        As ``sign``.
    """
    if not any(letter.isalnum() for letter in reason):
        raise InputError(
            "REASON_MISSING", "a promotion needs a reason in words", "Give it: --reason 'seen by the tumour board'."
        )
    version = version_of(model_name, alias_or_version)
    if key:
        sign(model_name, version, key)
    now = champion(model_name)
    verdict = Verdict("promoted", (f"Decided by a person: {reason}",), version_info(model_name, version).group, {})
    return promote(model_name, version, verdict, expected_previous=now.version if now else "")


def rollback(model_name: str, *, failed_deploy: str = "", reason: str = "") -> str:
    """Makes the champion's predecessor champion again and returns its version.

    With ``failed_deploy`` (a version that could not be deployed) nothing is done where the alias has moved on from
    it, and a champion without a predecessor that still exists just loses the alias. ``reason`` is kept as a tag.

    Raises
    ------
    RegistryError
        ``NO_CHAMPION``; ``CHAMPION_DELETED``, since its version alone knew the one before; ``NO_PREVIOUS`` where there
        is nothing to go back to, or where that was deleted.
    """
    with exclusive(model_name):
        now = aliased(model_name, CHAMPION)
        if failed_deploy and now != failed_deploy:
            return now
        if not now:
            raise RegistryError("NO_CHAMPION", "there is no champion to roll back", ways_out(model_name))
        info = found(model_name, now)
        previous = info.tags.get(PREVIOUS, "") if info else ""
        back = bool(previous) and found(model_name, previous) is not None
        if not back and not failed_deploy:
            raise no_way_back(model_name, now, previous) if info else champion_deleted(model_name, now)
        if info:
            why = "srs.deploy_failed" if failed_deploy else "srs.rolled_back"
            _tag(model_name, now, {why: reason or "no reason given"})
        if back:
            _set(model_name, CHAMPION, previous)
        else:
            client().delete_registered_model_alias(model_name, CHAMPION)
        return previous if back else ""


def sign(model_name: str, version: str, key: SigningKey) -> None:
    """Signs a version's bundle: ``manifest.sig`` is put beside its manifest, where KServe and ``download`` fetch it.

    The files are checked against the manifest first; a signature that is there is replaced.

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
        where = bundle.relative_to(scratch).parts[1:]
        client().log_model_artifact(model_id, str(bundle / SIGNATURE), "/".join(where))
    _tag(model_name, version, {SIGNED_BY: key.public.fingerprint})


def _set(model_name: str, alias: str, version: str) -> None:
    client().set_registered_model_alias(model_name, alias, version)
    now = aliased(model_name, alias)
    if now != version:
        raise _moved(version, now)


def _moved(expected: str, now: str) -> RegistryError:
    message = f"the champion is version {now or 'none'} and was expected to be {expected or 'none'}"
    return RegistryError(
        "CHAMPION_MOVED", message, "Another promotion ran beside this one: run the same command again."
    )


def _tag(model_name: str, version: str, tags: Mapping[str, Any]) -> None:
    for key, value in _texts(tags).items():
        client().set_model_version_tag(model_name, version, key, value)


def _texts(tags: Mapping[str, Any]) -> dict[str, str]:
    return {key: _cut(str(value)) for key, value in tags.items()}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 2] + " …"
