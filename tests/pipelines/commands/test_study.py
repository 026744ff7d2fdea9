"""Settings from a study file and from flags."""

import pytest

from components.common.errors import InputError
from pipelines.commands.study import read_flags, read_study


def test_a_study_file_without_content_or_with_an_empty_section_changes_nothing(tmp_path):
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    (tmp_path / "section.yaml").write_text("train:\nseed: 3\n")
    assert read_study(None) == read_study(tmp_path / "empty.yaml") == {}
    assert read_study(tmp_path / "section.yaml") == {"seed": 3}


@pytest.mark.parametrize(
    "content",
    [
        b"- a",
        b"[]",
        b"false",
        b"0",
        b"text",
        b"seed: !!bool maybe",
        b"train: \xff",
        b"train: {\n",
        b"seed: 1\nseed: 2",
        b"a: &b\nc: *b",
    ],
)
def test_a_file_that_is_no_study_is_refused_with_an_example(tmp_path, content):
    (tmp_path / "study.yaml").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_study(tmp_path / "study.yaml")
    assert caught.value.code == "STUDY_FILE_INVALID"
    assert "study.yaml" in caught.value.safe_message
    assert "docs/data-scientist.md" in caught.value.hint


def test_a_folder_is_no_study_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_study(tmp_path)


def test_flags_name_a_section_and_a_setting():
    flags = ["train.learning_rate=0.05", "train.momentum = 0", "seed=2", "evaluate.x=a=b"]
    train = {"learning_rate": "0.05", "momentum": "0"}
    assert read_flags(flags) == {"train": train, "seed": "2", "evaluate": {"x": "a=b"}}


@pytest.mark.parametrize(
    "flags",
    [
        ["nonsense"],
        ["=3"],
        [".a=3"],
        ["train.=3"],
        ["train=5", "train.a=4"],
        ["train.a=4", "train=5"],
        ["seed=1", "seed=2"],
        ["train.a=4", "train.a=4"],
    ],
)
def test_flags_of_another_form_are_refused(flags):
    with pytest.raises(InputError) as caught:
        read_flags(flags)
    assert caught.value.code == "SETTING_UNKNOWN"
    assert caught.value.hint
