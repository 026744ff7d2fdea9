"""Reading one file of a bundle: only a regular file, and only up to a limit."""

import os

import pytest

from components.common.errors import BundleError
from components.model.plain_file import read_plain_file


def refused(folder, name: str, most: int = 4) -> str:
    with pytest.raises(BundleError) as error:
        read_plain_file(folder, name, most)
    assert name in error.value.safe_message
    return error.value.code


def test_reads_up_to_the_limit_and_no_byte_more(tmp_path):
    (tmp_path / "file").write_bytes(b"1234")
    assert read_plain_file(tmp_path, "file", 4) == b"1234"
    assert refused(tmp_path, "file", 3) == "BUNDLE_TOO_LARGE"


def test_refuses_everything_but_regular_files(tmp_path):
    (tmp_path / "file").write_bytes(b"1234")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "gone").symlink_to("nothing")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "gone", "zeros", "folder", "pipe", "absent"):
        assert refused(tmp_path, name) == "BUNDLE_DAMAGED"


def test_refuses_a_linked_subfolder(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"1234")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "golden").symlink_to(tmp_path / "elsewhere")
    assert refused(tmp_path / "bundle", "golden/file") == "BUNDLE_DAMAGED"


def test_the_bundles_own_folder_may_be_a_link_as_in_a_mounted_volume(tmp_path):
    (tmp_path / "elsewhere" / "golden").mkdir(parents=True)
    (tmp_path / "elsewhere" / "golden" / "file").write_bytes(b"1234")
    (tmp_path / "models").symlink_to(tmp_path / "elsewhere")
    assert read_plain_file(tmp_path / "models", "golden/file", 4) == b"1234"
