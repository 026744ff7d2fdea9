"""What the registry holds: versions by number or alias, the champion, and what to do where one is missing."""

from dataclasses import dataclass

from components.common.errors import InputError, RegistryError
from components.common.mlflow_door import client
from components.common.mlflow_errors import NOT_FOUND
from components.promote.bundle_model import DIGEST_TAG

CHAMPION, CHALLENGER = "champion", "challenger"
PREVIOUS = "srs.previous_champion"
#: Fingerprint of the public key that verifies the version's signature.
SIGNED_BY = "srs.signed_by"
#: Digits of a version's number: MLflow's databases hold 32 bits.
LONGEST_NUMBER = 9


@dataclass(frozen=True, slots=True)
class ChampionInfo:
    """A registry version; ``tags`` hold its verdict, reasons, thresholds and previous champion."""

    version: str
    run_id: str
    group: str
    bundle_digest: str
    tags: dict[str, str]


def champion(model_name: str) -> ChampionInfo | None:
    """The champion now, or None: also where its version was deleted and the alias was left."""
    version = aliased(model_name, CHAMPION)
    return found(model_name, version) if version else None


def deleted_champion(model_name: str) -> str:
    """The version that the alias ``champion`` names although it was deleted; "" where there is none such."""
    version = aliased(model_name, CHAMPION)
    return version if version and not found(model_name, version) else ""


def version_info(model_name: str, version: str) -> ChampionInfo:
    """What the registry knows of a version; ``VERSION_UNKNOWN`` where it knows none such."""
    info = found(model_name, version)
    if info is None:
        raise unknown(model_name, version)
    return info


def version_of(model_name: str, alias_or_version: str) -> str:
    """The number of a version, or of the one that has an alias.

    Raises
    ------
    RegistryError
        ``NO_CHAMPION`` where no version is champion, ``CHAMPION_DELETED`` where the one that was is gone.
    InputError
        ``VERSION_UNKNOWN`` where no version has that number or alias.
    """
    text = alias_or_version.strip()
    if text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER:
        return version_info(model_name, str(int(text))).version
    version = aliased(model_name, text) if text else ""
    if not version and text in (CHAMPION, CHALLENGER):
        message = f"no version of {model_name} has the alias {text}"
        raise RegistryError("NO_CHAMPION", message, f"Run the pipeline. {ways_out(model_name)}")
    if not version:
        raise unknown(model_name, text)
    if not found(model_name, version):
        raise champion_deleted(model_name, version, text)
    return version


def aliased(model_name: str, alias: str) -> str:
    """The version that has an alias, even a deleted one; "" where none has, or where there is no such model yet."""
    try:
        return str(client().get_registered_model(model_name).aliases.get(alias, ""))
    except RegistryError as error:
        if error.code != NOT_FOUND:
            raise
        return ""


def found(model_name: str, version: str) -> ChampionInfo | None:
    """A version, or None where it was deleted or never was."""
    try:
        known = client().get_model_version(model_name, version)
    except RegistryError as error:
        if error.code != NOT_FOUND:
            raise
        return None
    tags = dict(known.tags)
    return ChampionInfo(str(known.version), known.run_id, tags.get("srs.group", ""), tags.get(DIGEST_TAG, ""), tags)


def versions(model_name: str) -> list[int]:
    """Numbers of the versions that exist, for a hint: none where MLflow does not say them."""
    try:
        there = client().search_model_versions(f"name = '{model_name}'")
    except RegistryError:
        return []
    return sorted(int(version.version) for version in there)


def ways_out(model_name: str) -> str:
    """What to do where there is no champion to work with."""
    there = ", ".join(map(str, versions(model_name)))
    return f"`srs promote VERSION --reason TEXT` makes a version champion; there are: {there or 'none yet'}."


def unknown(model_name: str, asked: str) -> InputError:
    """``VERSION_UNKNOWN`` for what a person typed."""
    there = ", ".join(map(str, versions(model_name)))
    hint = f"Versions that exist: {there}." if there else "There is none: is the model's name (--model-name) right?"
    what = f"version {asked}" if asked.isdigit() else f"version or alias {asked or '(empty)'}"
    return InputError("VERSION_UNKNOWN", f"{what} of model {model_name} does not exist", hint)


def champion_deleted(model_name: str, version: str, alias: str = CHAMPION) -> RegistryError:
    """``CHAMPION_DELETED``: MLflow left the alias when it deleted the version."""
    message = f"version {version} of model {model_name} was deleted, but still has the alias {alias}"
    return RegistryError("CHAMPION_DELETED", message, ways_out(model_name))


def no_way_back(model_name: str, now: str, previous: str) -> RegistryError:
    """``NO_PREVIOUS``: there was no champion before ``now``, or it was deleted."""
    gone = f"version {previous}, the champion before version {now}, was deleted"
    message = gone if previous else f"version {now} had no champion before it"
    return RegistryError("NO_PREVIOUS", message, ways_out(model_name))
