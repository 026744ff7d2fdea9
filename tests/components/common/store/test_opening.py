"""The store that a URI refers to."""

import zipfile

import pytest

from components.common.errors import InputError
from components.common.store.folder import FolderStore
from components.common.store.opening import open_source
from components.common.store.zip import ZipSource


def test_sources_are_opened_by_their_kind(tmp_path):
    (tmp_path / "cohort.csv").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a", b"1")
    assert isinstance(open_source(str(tmp_path)), FolderStore)
    assert isinstance(open_source(f"file://{tmp_path}"), FolderStore)
    assert isinstance(open_source(str(tmp_path / "x.zip")), ZipSource)
    for uri, code in (
        (str(tmp_path / "no"), "SOURCE_MISSING"),
        (str(tmp_path / "cohort.csv"), "SOURCE_UNKNOWN"),
        ("gs://b", "SOURCE_UNKNOWN"),
    ):
        with pytest.raises(InputError) as caught:
            open_source(uri)
        assert caught.value.code == code
