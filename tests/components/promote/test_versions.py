"""A user's mistakes at the registry, with a real SQLite store: missing versions and dangling aliases."""

import os
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.common.errors import BundleError, InputError, RegistryError, SrsError
from components.promote import downloads, registry
from tests.registry_store import MODEL, PROMOTED, delete, lose_files


def champion() -> str:
    return str(MlflowClient(os.environ["MLFLOW_TRACKING_URI"]).get_registered_model(MODEL).aliases.get("champion", ""))


@pytest.mark.parametrize("asked", ["99", "0", "v2", "-1", "1.0", "²", "", "9" * 30, "nobody", "a'b", "ü"])
def test_a_missing_version_is_reported_with_the_existing_ones(store: Path, asked: str) -> None:
    for call in (
        lambda: registry.promote_by_hand(MODEL, asked, "typo"),
        lambda: registry.version_of(MODEL, asked),
        lambda: registry.download(MODEL, asked, store / "served"),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.code == "VERSION_UNKNOWN"
        assert f"{asked} " in caught.value.safe_message
        assert f"of model {MODEL} does not exist" in caught.value.safe_message
        assert "1, 2, 3" in caught.value.hint
    assert champion() == "3"


@pytest.mark.parametrize("model", ["other", "", "O'Brien", 'a"b', "a/b"])
def test_a_missing_model_is_reported(store: Path, model: str) -> None:
    for call in (
        lambda: registry.promote_by_hand(model, "1", "typo"),
        lambda: registry.version_of(model, "champion"),
        lambda: registry.rollback(model),
    ):
        with pytest.raises(SrsError):
            call()


def test_the_hint_for_an_unknown_model_names_its_option(store: Path) -> None:
    with pytest.raises(InputError, match="--model-name"):
        registry.promote_by_hand("other", "1", "typo")


def test_an_alias_may_be_promoted(store: Path) -> None:
    MlflowClient(os.environ["MLFLOW_TRACKING_URI"]).set_registered_model_alias(MODEL, "challenger", "1")
    assert registry.promote_by_hand(MODEL, "challenger", "seen by the board") == "3"
    assert champion() == "1"
    assert registry.promote_by_hand(MODEL, " 02 ", "and back") == "1"
    assert champion() == "2"


@pytest.mark.parametrize("reason", ["", " ", "\t\n", "...", "\u200b", "-"])
def test_a_promotion_without_a_reason_is_refused(store: Path, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        registry.promote_by_hand(MODEL, "1", reason)
    assert caught.value.code == "REASON_MISSING"
    assert champion() == "3"


def test_an_alias_to_a_deleted_version_is_reported_with_a_remedy(store: Path) -> None:
    delete(store / "mlflow.db", 3)
    assert champion() == "3"
    assert registry.champion(MODEL) is None
    assert registry.deleted_champion(MODEL) == "3"
    for call in (
        lambda: registry.version_of(MODEL, "champion"),
        lambda: registry.download(MODEL, "champion", store / "served"),
        lambda: registry.rollback(MODEL, reason="wrong"),
    ):
        with pytest.raises(RegistryError) as caught:
            call()
        assert caught.value.code == "CHAMPION_DELETED"
        assert "version 3 of model srs-response was deleted" in caught.value.safe_message
        assert "srs promote VERSION" in caught.value.hint
        assert "existing versions: 1, 2." in caught.value.hint


def test_a_promotion_takes_over_a_dangling_alias(store: Path) -> None:
    delete(store / "mlflow.db", 3)
    assert registry.promote_by_hand(MODEL, "2", "version 3 was deleted") == ""
    assert champion() == "2"
    assert registry.deleted_champion(MODEL) == ""
    assert registry.version_info(MODEL, "2").tags["srs.previous_champion"] == ""


def test_the_gate_takes_over_a_dangling_alias(store: Path) -> None:
    delete(store / "mlflow.db", 3)
    assert registry.promote(MODEL, "1", PROMOTED, expected_previous="") == ""
    assert champion() == "1"


def test_a_rollback_to_a_deleted_version_is_refused_and_the_champion_stays(store: Path) -> None:
    delete(store / "mlflow.db", 2)
    with pytest.raises(RegistryError) as caught:
        registry.rollback(MODEL)
    assert caught.value.code == "NO_PREVIOUS"
    assert "version 2, the champion before version 3, was deleted" in caught.value.safe_message
    assert "existing versions: 1, 3." in caught.value.hint
    assert champion() == "3"


@pytest.mark.parametrize("deleted", [[2], [3], [2, 3]])
def test_a_failed_deploy_without_a_predecessor_leaves_no_champion(store: Path, deleted: list[int]) -> None:
    delete(store / "mlflow.db", *deleted)
    assert registry.rollback(MODEL, failed_deploy="3", reason="not ready") == ""
    assert champion() == ""


def test_missing_files_are_reported(store: Path) -> None:
    lose_files(store / "mlflow.db", 1)
    with pytest.raises(BundleError) as caught:
        registry.download(MODEL, "1", store / "served")
    assert caught.value.code == "ARTIFACTS_MISSING"
    assert "the files of version 1 of model srs-response are gone" in caught.value.safe_message
    assert not list((store / "served").iterdir())


def test_missing_files_in_an_object_store_are_reported(store: Path, monkeypatch) -> None:
    monkeypatch.setattr(downloads, "download_artifacts", lambda _, folder: folder)
    with pytest.raises(BundleError, match="ARTIFACTS_MISSING"):
        registry.download(MODEL, "2", store / "served")
