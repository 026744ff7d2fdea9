"""The promotion step after manual changes of the registry, with a real store and a gate that always promotes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.common.errors import InputError
from components.model.bundle_files import Bundle
from components.model.signing import SigningKey
from components.promote import registry, step
from components.promote.change import Change
from components.promote.gate import Verdict
from components.promote.story import Sizes
from tests.registry_store import MODEL, PROMOTED, delete, lose_files


@pytest.fixture
def database(store: Path) -> Path:
    return store / "mlflow.db"


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> list[Change]:
    """The comparisons that the gate was given; it promotes whatever comes."""
    seen: list[Change] = []

    def decide(_metrics: Any, _name: str, changes: list[Change], *_: Any) -> Verdict:
        seen.extend(changes)
        return PROMOTED

    monkeypatch.setattr(step, "decide", decide)
    monkeypatch.setattr(step, "story_of", lambda *_: "A story.")
    return seen


def decided(folder: Path, version: str, key: SigningKey | None = None) -> Any:
    splits = SimpleNamespace(settings=SimpleNamespace(gate=None))
    at, none = (lambda name: folder / name), (lambda _: None)
    bundles = SimpleNamespace(folder=at, keras_file=at, crops=none, splits=splits, sizes=lambda _: Sizes(3, 20, 15))
    evaluated = SimpleNamespace(metrics={})
    return step._decide(bundles, evaluated, "A", {"A": version}, MODEL, SimpleNamespace(of=none), key)


def test_a_deleted_champion_counts_as_none_and_is_named_in_the_reasons(
    database: Path, changes: list[Change], tmp_path: Path
) -> None:
    delete(database, 3)
    result = decided(tmp_path, "2")
    assert changes == []
    assert (result.verdict, result.version, result.previous_champion) == ("promoted", "2", "")
    assert "Version 3, the former champion, was deleted in the registry" in result.reasons[-1]
    info = registry.champion(MODEL)
    assert info is not None
    assert info.version == "2"
    assert "was deleted in the registry" in info.tags["srs.reasons"]


def test_a_champion_whose_files_are_gone_cannot_be_compared(
    database: Path, changes: list[Change], tmp_path: Path
) -> None:
    lose_files(database, 3)
    delete(database, 1)  # the reference, which has its own test
    assert decided(tmp_path, "2").version == "2"
    [change] = changes
    assert change.against == "champion"
    assert "it cannot be opened: the files of version 3 of model srs-response are gone" in str(change)


def test_a_promoted_version_is_signed_where_there_is_a_key(
    database: Path, changes: list[Change], tmp_path: Path
) -> None:
    delete(database, 3)
    key = SigningKey(Ed25519PrivateKey.generate())
    assert decided(tmp_path, "1", key).verdict == "promoted"
    assert Bundle.read(registry.download(MODEL, "champion", tmp_path / "served"), key.public).signed_by
    assert registry.version_info(MODEL, "2").tags.get("srs.signed_by") is None


def test_a_refused_version_is_not_signed(
    database: Path, changes: list[Change], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete(database, 3)
    monkeypatch.setattr(step, "decide", lambda *_: Verdict("refused", ("Value: too little.",), "A", {}))
    assert decided(tmp_path, "2", SigningKey(Ed25519PrivateKey.generate())).verdict == "refused"
    assert registry.version_info(MODEL, "2").tags.get("srs.signed_by") is None


def test_an_invalid_key_in_the_environment_is_reported_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRS_SIGNING_KEY", "no key")
    with pytest.raises(InputError) as error:
        step.run("absent", "absent", [], "absent", MODEL, "absent", "absent", lambda *_: None)
    assert error.value.code == "SIGNING_KEY"
