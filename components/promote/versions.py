"""Looks up registered versions by number or alias, and the errors where one is missing."""

from dataclasses import dataclass

from components.common.errors import InputError, RegistryError
from components.common.mlflow_client import client
from components.common.mlflow_errors import NOT_FOUND
from components.common.tags import GROUP
from components.promote.bundle_model import DIGEST_TAG

#: Aliases. The reference is the first champion, or the last that a person promoted: challengers must hold their own
#: against it too, so that small losses do not add up from champion to champion.
CHAMPION, CHALLENGER, REFERENCE = "champion", "challenger", "reference"
PREVIOUS, PREVIOUS_REFERENCE = "srs.previous_champion", "srs.previous_reference"
#: Fingerprint of the public key that verifies the version's signature.
SIGNED_BY = "srs.signed_by"
#: Digits of a version's number: MLflow's databases hold 32 bits.
LONGEST_NUMBER = 9


@dataclass(frozen=True, slots=True)
class ChampionInfo:
    """A registered version; ``tags`` hold its verdict, reasons, thresholds and previous champion."""

    version: str
    run_id: str
    group: str
    bundle_digest: str
    tags: dict[str, str]


def champion(model_name: str) -> ChampionInfo | None:
    """The current champion, or None, also where its version was deleted but the alias remains."""
    version = aliased(model_name, CHAMPION)
    return find_version(model_name, version) if version else None


def reference(model_name: str) -> ChampionInfo | None:
    """The version that challengers are compared with beside the champion; None also where it was deleted."""
    version = aliased(model_name, REFERENCE)
    return find_version(model_name, version) if version else None


def deleted_champion(model_name: str) -> str:
    """The deleted version that still has the alias ``champion``; "" where there is none."""
    version = aliased(model_name, CHAMPION)
    return version if version and not find_version(model_name, version) else ""


def version_info(model_name: str, version: str) -> ChampionInfo:
    """The registry's record of a version; raises ``VERSION_UNKNOWN`` where there is none."""
    info = find_version(model_name, version)
    if info is None:
        raise version_unknown(model_name, version)
    return info


def version_of(model_name: str, alias_or_version: str) -> str:
    """The number of a version, or of the one that has an alias.

    Raises
    ------
    RegistryError
        ``NO_CHAMPION`` where no version is champion, ``CHAMPION_DELETED`` where the champion was deleted.
    InputError
        ``VERSION_UNKNOWN`` where no version has that number or alias.
    """
    text = alias_or_version.strip()
    if text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER:
        return version_info(model_name, str(int(text))).version
    version = aliased(model_name, text) if text else ""
    if not version and text in (CHAMPION, CHALLENGER):
        message = f"no version of {model_name} has the alias {text}"
        raise RegistryError("NO_CHAMPION", message, f"Run the pipeline. {promotion_hint(model_name)}")
    if not version:
        raise version_unknown(model_name, text)
    if not find_version(model_name, version):
        raise champion_deleted(model_name, version, text)
    return version


def aliased(model_name: str, alias: str) -> str:
    """The version that has an alias, even a deleted one; "" where none has it, or the model does not exist yet."""
    try:
        return str(client().get_registered_model(model_name).aliases.get(alias, ""))
    except RegistryError as error:
        if error.code != NOT_FOUND:
            raise
        return ""


def find_version(model_name: str, version: str) -> ChampionInfo | None:
    """A version, or None where it was deleted or never existed."""
    try:
        record = client().get_model_version(model_name, version)
    except RegistryError as error:
        if error.code != NOT_FOUND:
            raise
        return None
    tags = dict(record.tags)
    return ChampionInfo(str(record.version), record.run_id, tags.get(GROUP, ""), tags.get(DIGEST_TAG, ""), tags)


def versions(model_name: str) -> list[int]:
    """Numbers of the existing versions, for a hint; empty where MLflow does not return them."""
    try:
        existing = client().search_model_versions(f"name = '{model_name}'")
    except RegistryError:
        return []
    return sorted(int(version.version) for version in existing)


def promotion_hint(model_name: str) -> str:
    """How to make a version champion where there is none."""
    existing = ", ".join(map(str, versions(model_name)))
    return f"`srs promote VERSION --reason TEXT` makes a version champion; existing versions: {existing or 'none'}."


def version_unknown(model_name: str, name: str) -> InputError:
    """``VERSION_UNKNOWN`` for a version or alias that a user named."""
    existing = ", ".join(map(str, versions(model_name)))
    hint = f"Existing versions: {existing}." if existing else "The model has none: check its name (--model-name)."
    what = f"version {name}" if name.isdigit() else f"version or alias {name or '(empty)'}"
    return InputError("VERSION_UNKNOWN", f"{what} of model {model_name} does not exist", hint)


def champion_deleted(model_name: str, version: str, alias: str = CHAMPION) -> RegistryError:
    """``CHAMPION_DELETED``: MLflow kept the alias when it deleted the version."""
    message = f"version {version} of model {model_name} was deleted, but still has the alias {alias}"
    return RegistryError("CHAMPION_DELETED", message, promotion_hint(model_name))


def no_previous(model_name: str, now: str, previous: str) -> RegistryError:
    """``NO_PREVIOUS``: there was no champion before ``now``, or it was deleted."""
    deleted = f"version {previous}, the champion before version {now}, was deleted"
    message = deleted if previous else f"there was no champion before version {now}"
    return RegistryError("NO_PREVIOUS", message, promotion_hint(model_name))
