"""The key of the pseudonyms is made once, readable for its user alone, and never replaced silently."""

import stat

import pytest

from components.common.environment import PSEUDONYM_KEY, PSEUDONYM_KEY_FILE
from components.common.errors import InputError
from components.preprocess.step import pseudonym_key


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.delenv(PSEUDONYM_KEY, raising=False)
    monkeypatch.setenv(PSEUDONYM_KEY_FILE, str(tmp_path / "home" / "pseudonym.key"))
    return tmp_path / "home" / "pseudonym.key"


def test_a_key_is_made_once_and_readable_for_its_user_alone(file):
    key = pseudonym_key("study", synthetic=False)
    assert len(key) == 64
    assert pseudonym_key("study", synthetic=False) == key == file.read_bytes()
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}


def test_a_damaged_key_is_refused_and_not_used(file):
    key = pseudonym_key("study", synthetic=False)
    for changed in (bytes([key[0] ^ 1]) + key[1:], key[:-1], b""):
        file.write_bytes(changed)
        with pytest.raises(InputError, match="PSEUDONYM_KEY_CHANGED") as caught:
            pseudonym_key("study", synthetic=False)
        assert key.decode() not in str(caught.value)
    file.write_bytes(key)
    assert pseudonym_key("study", synthetic=False) == key


def test_a_key_file_of_the_user_needs_no_digest(file):
    file.parent.mkdir()
    file.write_bytes(b"my own key")
    assert pseudonym_key("study", synthetic=False) == b"my own key"
