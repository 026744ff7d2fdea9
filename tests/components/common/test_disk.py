"""A full or read-only disk is reported as such, and files are written atomically."""

import errno
import os
import resource
import signal
import stat

import numpy as np
import pytest

from components.common.disk import disk_error, permission_denied, write_whole
from components.common.errors import StorageError
from components.common.files import write_json
from components.common.store.folder import FolderStore


@pytest.fixture
def small_files():
    """No file above 4 KiB may be written, as on a disk that has no more space."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "STORAGE_FULL"),
        (errno.EDQUOT, "STORAGE_FULL"),
        (errno.EFBIG, "STORAGE_FULL"),
        (errno.EROFS, "STORAGE_READONLY"),
    ],
)
def test_disk_errors_are_translated_without_the_files_name(number, code):
    error = disk_error(OSError(number, os.strerror(number), "/home/Doe^Jane"))
    assert error is not None
    assert error.code == code
    assert "Doe" not in str(error)


def test_other_errors_are_not_disk_errors():
    assert disk_error(FileNotFoundError(errno.ENOENT, "none", "x")) is None
    assert disk_error(ValueError("3 requested and 2 written")) is None


def test_numpys_short_write_is_a_full_disk(tmp_path, small_files):
    with pytest.raises(OSError, match="requested and") as caught:
        np.save(tmp_path / "crops.npy", np.zeros(10_000, np.float32))
    error = disk_error(caught.value)
    assert error is not None
    assert error.code == "STORAGE_FULL"


def test_a_file_that_did_not_fit_leaves_only_the_former_one(tmp_path, small_files):
    write_json(tmp_path / "run.json", {"seconds": 1})
    with pytest.raises(OSError, match="large"):
        write_json(tmp_path / "run.json", {"seconds": list(range(5000))})
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    assert "1" in (tmp_path / "run.json").read_text()


def test_the_object_store_reports_a_full_disk(tmp_path, small_files):
    with pytest.raises(StorageError) as caught:
        FolderStore(tmp_path).write("members/k.zip", bytes(5000))
    assert caught.value.code == "STORAGE_FULL"
    assert list((tmp_path / "members").iterdir()) == []


@pytest.mark.parametrize(
    ("umask", "mode", "expected"), [(0o022, 0o666, 0o644), (0o077, 0o666, 0o600), (0, 0o600, 0o600)]
)
def test_the_umask_applies_to_the_mode_of_a_file(tmp_path, umask, mode, expected):
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "file", b"x", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == expected


def test_a_file_of_another_user_is_named_and_other_errors_are_not_about_permissions():
    error = permission_denied(PermissionError(errno.EACCES, "denied", "run.json"))
    assert (error.code, "run.json" in error.safe_message, error.exit_code) == ("STORAGE_UNREADABLE", True, 1)
    assert permission_denied(FileNotFoundError(errno.ENOENT, "none", "x")) is None
