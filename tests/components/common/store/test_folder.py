"""Links in a folder that is read as a source."""

from components.common.store.folder import FolderStore


def test_broken_links_are_skipped(tmp_path):
    (tmp_path / "p" / "deep").mkdir(parents=True)
    (tmp_path / "p" / "deep" / "a").write_bytes(b"abc")
    for name, target in {"missing": "nothing", "through": "deep/a/b", "loop": "loop"}.items():
        (tmp_path / "p" / name).symlink_to(target)
    (tmp_path / "p" / "same").symlink_to("deep/a")
    assert [entry.name for entry in FolderStore(tmp_path).list("p")] == ["p/deep/a", "p/same"]
    assert FolderStore(tmp_path).list("absent") == []
