import dataclasses
import json
import os
import zipfile

import numpy as np
import pandas as pd
import pytest

from components.common.artifacts.members import Member
from components.common.artifacts.splits import MemberSplit
from components.common.errors import InputError, StorageError
from components.common.store.bucket import s3_client
from components.common.store.sealed import seal, unseal
from components.train.member_store import open_store
from components.train.training import State
from tests.components.common.member_facts import made_facts


@pytest.fixture
def member():
    history = pd.DataFrame({"attempt": [1, 1], "step": [10, 20], "validation_loss": [0.1 + 0.2, 1 / 3]})
    weights = {
        "conv_1_kernel": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
        "conv_1_bias": np.zeros(3, np.float32),
    }
    split = MemberSplit("A", 1, ("T1", "T2"), ("T3",), ("T4",))
    return Member(split, weights, history, np.array([0.25, 0.5], np.float32), made_facts())


def test_a_member_round_trip(tmp_path, member):
    open_store(str(tmp_path / "new" / "store")).put("k", member)
    loaded = open_store(str(tmp_path / "new" / "store")).get("k")
    assert loaded.split == member.split
    assert loaded.facts == member.facts
    assert list(loaded.weights) == list(member.weights)
    assert all(np.array_equal(loaded.weights[name], array) for name, array in member.weights.items())
    np.testing.assert_array_equal(loaded.probabilities, member.probabilities)
    pd.testing.assert_frame_equal(loaded.history, member.history)


def test_other_keys_are_absent(tmp_path, member):
    store = open_store(str(tmp_path))
    store.put("k", member)
    assert store.get("other") is None
    assert store.get_state("k") is None


@pytest.mark.parametrize("place", [0.0, 0.2, 0.5, 0.8, 0.99])
def test_a_changed_byte_makes_the_member_absent(tmp_path, member, place):
    store = open_store(str(tmp_path))
    store.put("k", member)
    (path,) = tmp_path.rglob("*.zip")
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 0xFF
    path.write_bytes(content)
    loaded = store.get("k")
    assert loaded is None or all(np.array_equal(loaded.weights[name], a) for name, a in member.weights.items())


def test_a_member_of_a_newer_version_is_absent_and_so_trained_again(tmp_path, member):
    store = open_store(str(tmp_path))
    store.put("k", member)
    (path,) = tmp_path.rglob("*.zip")
    files = unseal(path.read_bytes())
    fields = json.loads(files["member.json"])
    fields["facts"]["new"] = 1
    path.write_bytes(seal({**files, "member.json": json.dumps(fields).encode()}))
    assert store.get("k") is None


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_truncated_object_is_absent(tmp_path, member, part):
    store = open_store(str(tmp_path))
    store.put("k", member)
    (path,) = tmp_path.rglob("*.zip")
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    assert store.get("k") is None


def test_a_failed_write_leaves_only_the_former_object(tmp_path, member, monkeypatch):
    store = open_store(str(tmp_path))
    store.put("k", member)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full_disk(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StorageError, match="STORAGE_FULL"):
        store.put("k", dataclasses.replace(member, facts=made_facts(seed=2)))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_state_is_stored_until_the_member_is(tmp_path, member):
    store = open_store(str(tmp_path))
    store.put_state("k", State({"weights/conv_1_bias": np.ones(3, np.float32)}, {"course": {"step": 10}}))
    state = store.get_state("k")
    np.testing.assert_array_equal(state.arrays["weights/conv_1_bias"], np.ones(3, np.float32))
    assert state.facts == {"course": {"step": 10}}
    store.put("k", member)
    assert store.get_state("k") is None


@pytest.mark.parametrize("uri", ["", "http://store/x", "models:/x"])
def test_refuses_an_unknown_kind_of_uri(uri):
    with pytest.raises(InputError, match="STATE_URI_UNKNOWN"):
        open_store(uri)


def test_refuses_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="STORE_UNREACHABLE") as caught:
        open_store(str(tmp_path / "file" / "store"))
    assert str(tmp_path) not in str(caught.value)


def test_a_bucket_stores_members_as_a_folder_does(member, s3):
    store = open_store("s3://models/study/one")
    store.put_state("k", State({}, {"course": {}}))
    assert store.get("k") is None
    store.put("k", member)
    assert store.get("k").split == member.split
    stored = s3_client().list_objects("models", recursive=True)
    assert [one.object_name for one in stored] == ["study/one/members/k.zip"]


def test_a_bucket_that_denies_access_is_not_an_empty_one(member, s3, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(StorageError, match="STORE_UNREACHABLE") as caught:
        open_store("s3://models/study/two").get("k")
    assert "wrong-secret" not in str(caught.value)


def test_any_zip_program_can_open_members(tmp_path, member):
    open_store(f"file://{tmp_path}").put("k", member)
    with zipfile.ZipFile(tmp_path / "members" / "k.zip") as archive:
        assert {"member.json", "history.csv", "probabilities.npy"} <= set(archive.namelist())
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
