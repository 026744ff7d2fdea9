"""Untrusted bundle folders: only listed files are opened, once, and with the listed digest."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from components.common import limits
from components.common.errors import BundleError
from components.common.files import digest_of, read_json, write_json
from components.model.bundle_files import FILES, Bundle
from components.model.manifest import GRAPH, MANIFEST


@pytest.fixture
def copy(bundle, tmp_path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def list_files(folder: Path, files: dict[str, str]) -> None:
    """Gives the manifest a list of files and the digest that fits, as a careful forger would."""
    fields = {**read_json(folder / MANIFEST), "files": files, "digest": ""}
    write_json(folder / MANIFEST, {**fields, "digest": digest_of(fields)})


def refused(folder: Path) -> tuple[str, str]:
    with pytest.raises(BundleError) as error:
        Bundle.read(folder)
    return error.value.code, error.value.safe_message


def test_holds_the_bytes_that_the_manifest_lists(bundle):
    bundle = Bundle.read(bundle)
    assert hashlib.sha256(bundle.graph).hexdigest() == bundle.manifest.files[GRAPH]
    assert set(bundle.manifest.files) == set(FILES)
    assert bundle.signed_by == ""


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_opened_must_be_listed(copy, name):
    listed = read_json(copy / MANIFEST)["files"]
    list_files(copy, {other: digest for other, digest in listed.items() if other != name})
    code, message = refused(copy)
    assert code == "BUNDLE_DAMAGED"
    assert "must list" in message


@pytest.mark.parametrize(
    "name", ["../../../etc/hostname", "/etc/hostname", "weights.bin", "golden/../ensemble.onnx", ""]
)
def test_no_other_file_is_listed(copy, name):
    list_files(copy, {**read_json(copy / MANIFEST)["files"], name: "0" * 64})
    assert refused(copy)[0] == "BUNDLE_DAMAGED"


def test_a_file_that_is_not_listed_is_never_opened(copy, monkeypatch):
    (copy / "weights.bin").write_bytes(b"0" * 10)
    os.mkfifo(copy / "pipe")
    (copy / "link").symlink_to("/etc/passwd")
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **more: opened.append(str(path)) or real(path, *rest, **more))
    Bundle.read(copy)
    assert sorted(opened) == sorted(str(copy / name) for name in (MANIFEST, *FILES))


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_no_file_may_be_a_link_though_it_leads_to_the_same_bytes(copy, bundle, name):
    (copy / name).unlink()
    (copy / name).symlink_to(bundle / name)
    assert refused(copy)[0] == "BUNDLE_DAMAGED"


def test_the_golden_folder_may_not_be_a_link(copy, bundle):
    shutil.rmtree(copy / "golden")
    (copy / "golden").symlink_to(bundle / "golden")
    assert refused(copy)[0] == "BUNDLE_DAMAGED"


def test_the_folder_itself_may_be_a_link(copy, tmp_path):
    (tmp_path / "models").symlink_to(copy)
    assert Bundle.read(tmp_path / "models").manifest.group == "A"


@pytest.mark.parametrize(
    ("name", "most"), [(GRAPH, limits.MAX_GRAPH_BYTES), ("golden/slice_hu.npy", limits.MAX_GOLDEN_BYTES)]
)
def test_a_file_is_read_to_its_limit_and_refused_one_byte_above(copy, name, most):
    with (copy / name).open("r+b") as file:
        file.truncate(most)
    code, message = refused(copy)
    assert (code, "was changed" in message) == ("BUNDLE_DAMAGED", True)  # it was read, and is not what is listed
    with (copy / name).open("r+b") as file:
        file.truncate(most + 1)
    code, message = refused(copy)
    assert code == "BUNDLE_TOO_LARGE"
    assert f"{most:,} bytes" in message
