"""KFP's local cache returns exactly what a task wrote, or the task runs again."""

from pathlib import Path

import pytest
from kfp import dsl
from kfp.local import cache as kfp_cache

from pipelines.local.task_cache import CheckedCache, checked_cache


@pytest.fixture
def kept(tmp_path) -> tuple[CheckedCache, Path]:
    """A cache with one entry, and the folder of its artifacts."""
    folder = tmp_path / "artifacts"
    (folder / "dataset" / "more").mkdir(parents=True)
    (folder / "dataset" / "crops.npy").write_bytes(b"crops")
    (folder / "dataset" / "more" / "flow.json").write_bytes(b"{}")
    (folder / "summary").write_text("<html>")
    cache = CheckedCache(str(tmp_path / "cache"))
    dataset = dsl.Artifact(name="dataset", uri=str(folder / "dataset"))
    summary = dsl.HTML(name="summary", uri=str(folder / "summary"))
    cache.put("key", {"dataset": dataset, "all": [summary, dataset], "Output": "1-6"})
    return cache, folder


def test_returns_what_was_put(kept):
    cache, folder = kept
    outputs = cache.get("key")
    assert outputs["Output"] == "1-6"
    assert outputs["dataset"].uri == str(folder / "dataset")
    assert type(outputs["all"][0]) is dsl.HTML
    assert cache.get("another") is None


@pytest.mark.parametrize("name", ["dataset/crops.npy", "dataset/more/flow.json", "summary"])
@pytest.mark.parametrize("change", ["flip", "cut", "remove"])
def test_a_changed_artifact_is_a_miss(kept, name, change):
    cache, folder = kept
    path = folder / name
    content = path.read_bytes()
    if change == "remove":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if change == "cut" else bytes([content[0] ^ 1]) + content[1:])
    assert cache.get("key") is None


def test_a_further_file_is_a_miss(kept):
    cache, folder = kept
    (folder / "dataset" / "extra.csv").write_text("x")
    assert cache.get("key") is None


def test_a_flipped_bit_of_the_entry_is_a_miss(kept, tmp_path):
    cache, _ = kept
    (path,) = (tmp_path / "cache").glob("*.json")
    content = path.read_bytes()
    for at in range(0, len(content), 5):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        outputs = cache.get("key")
        assert outputs is None or content[at : at + 1].isspace(), content[at - 9 : at + 9]


def test_an_entry_of_kfps_own_cache_is_a_miss(kept):
    cache, folder = kept
    kfp_cache.LocalCache.put(cache, "key", {"dataset": dsl.Artifact(name="dataset", uri=str(folder / "dataset"))})
    assert cache.get("key") is None


def test_kfps_own_cache_is_restored():
    before = kfp_cache.LocalCache
    with checked_cache():
        assert kfp_cache.LocalCache is CheckedCache
    assert kfp_cache.LocalCache is before
