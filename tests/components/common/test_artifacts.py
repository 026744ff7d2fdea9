"""Artifacts survive a round trip, and damage is detected."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from components.common.artifacts.dataset import FIRST_COLUMNS, LATER_COLUMNS, TUMOUR_COLUMNS, Dataset, Exclusion, Flow
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.layout import RUN_AGAIN
from components.common.artifacts.members import Member, Members, read_member, write_member
from components.common.artifacts.promotion import Promotion
from components.common.artifacts.splits import MemberSplit, Splits, TrackedRuns
from components.common.errors import InputError
from components.common.files import read_json, write_json
from components.common.presets import resolve
from tests.components.common.member_facts import made_facts
from tests.components.evaluate.golden_metrics import golden_metrics

SPLITS = (
    MemberSplit("A", 1, ("T-1", "T-2"), ("T-3",), ("T-4",)),
    MemberSplit("A", 2, ("T-1", "T-3"), ("T-2",), ("T-4",)),
)


def dataset() -> Dataset:
    tumours = pd.DataFrame({name: ["x"] * 4 for name in TUMOUR_COLUMNS})
    tumours["tumour"] = ["T-1", "T-2", "T-3", "T-4"]
    tumours["label"] = [0, 1, 0, 1]
    crops = np.random.default_rng(0).normal(40, 10, (4, 151, 151)).astype(np.float32)
    flow = Flow(5, 4, (Exclusion("TOO_LARGE", "longest diameter above 35 mm", 1),), 4, 3)
    return Dataset(crops, tumours, flow, {"version": 1}, synthetic=True)


def member(split: MemberSplit) -> Member:
    history = pd.DataFrame({"attempt": [1], "step": [10], "training_loss": [0.5], "validation_loss": [0.6]})
    weights = {"conv_1_kernel": np.ones((5, 5, 1, 2), np.float32)}
    return Member(split, weights, history, np.full(4, 0.25, np.float32), made_facts())


def test_dataset_round_trip(tmp_path):
    written = dataset()
    digest = written.write(tmp_path)
    read = Dataset.read(tmp_path)
    assert read.digest == digest
    np.testing.assert_array_equal(read.crops, written.crops)
    assert read.flow == written.flow
    assert read.synthetic is True
    assert list(read.tumours.tumour) == ["T-1", "T-2", "T-3", "T-4"]


def test_a_dataset_of_the_first_release_is_read(tmp_path):
    written = dataset()
    tumours = written.tumours[list(FIRST_COLUMNS)].rename(columns={"match_level": "reference_rung"})
    dataclasses.replace(written, tumours=tumours).write(tmp_path)
    read = Dataset.read(tmp_path).tumours
    assert tuple(read.columns) == TUMOUR_COLUMNS
    assert read[list(LATER_COLUMNS)].isna().all(axis=None)
    assert read[list(FIRST_COLUMNS)].equals(written.tumours[list(FIRST_COLUMNS)])


@pytest.mark.parametrize("column", ["kernel", "centre", "age"])
def test_a_dataset_that_lacks_any_other_column_is_refused(tmp_path, column):
    written = dataset()
    dataclasses.replace(written, tumours=written.tumours.drop(columns=column)).write(tmp_path)
    with pytest.raises(InputError, match="do not match"):
        Dataset.read(tmp_path)


def test_a_changed_file_is_detected(tmp_path):
    dataset().write(tmp_path)
    table = tmp_path / "tumours.csv"
    table.write_text(table.read_text().replace("T-4", "T-5"))
    with pytest.raises(InputError, match=r"tumours\.csv") as caught:
        Dataset.read(tmp_path)
    assert caught.value.code == "ARTIFACT_DAMAGED"


def test_a_change_of_any_file_is_detected(tmp_path):
    dataset().write(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(before) == 6
    for path, content in before.items():
        for spoiled in (None, content[:-9], content[:9] + bytes([content[9] ^ 1]) + content[10:]):
            path.unlink()
            if spoiled is not None:
                path.write_bytes(spoiled)
            with pytest.raises(InputError) as caught:
                Dataset.read(tmp_path)
            assert caught.value.code in ("ARTIFACT_DAMAGED", "ARTIFACT_MISSING", "ARTIFACT_UNKNOWN")
            assert "Run the study again" in caught.value.hint  # nobody can rerun one step
            assert "srs run" in caught.value.hint
            assert "state_uri" in caught.value.hint
            path.write_bytes(content)


def test_a_table_that_does_not_fit_the_crops_says_what_to_do(tmp_path):
    dataset().write(tmp_path)
    table = tmp_path / "tumours.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    Dataset._seal(tmp_path)
    with pytest.raises(InputError, match="do not match") as caught:
        Dataset.read(tmp_path)
    assert (caught.value.code, caught.value.hint) == ("ARTIFACT_DAMAGED", RUN_AGAIN)


def test_a_changed_folder_digest_is_detected(tmp_path):
    dataset().write(tmp_path)
    layout = read_json(tmp_path / "layout.json")
    write_json(tmp_path / "layout.json", {**layout, "digest": "0" * 64})
    with pytest.raises(InputError, match=r"layout\.json was changed"):
        Dataset.read(tmp_path)


def test_another_kind_or_version_is_refused(tmp_path):
    dataset().write(tmp_path)
    with pytest.raises(InputError, match="expected splits version 1, found dataset version 1"):
        Splits.read(tmp_path)
    with pytest.raises(InputError, match=r"layout\.json is missing"):
        Splits.read(tmp_path / "absent")


def test_flow_must_add_up():
    with pytest.raises(ValueError, match="add up"):
        Flow(5, 4, (), 4, 3)


def test_splits_round_trip_with_settings_and_tracking(tmp_path):
    settings = resolve("fast", {"seed": 7})
    written = Splits(
        SPLITS, "patient", 0, {"asked": [1, 1], "A": [1, 0]}, settings, TrackedRuns("1", "abc", {"A": "d"}),
        network={"name": "cha2018", "weights": []},
    )  # fmt: skip
    digest = written.write(tmp_path)
    assert Splits.read(tmp_path) == dataclasses.replace(written, digest=digest)


#: As runs hold it since the first layout.
SPLITS_JSON = """{
 "digest": "DIGEST",
 "quotas": {
  "A": [
   1,
   0
  ],
  "asked": [
   1,
   1
  ]
 },
 "shared_patients": 0,
 "tracking": {
  "experiment_id": "1",
  "groups": {
   "A": "d"
  },
  "parent": "abc"
 },
 "unit": "patient"
}
"""


def test_splits_of_an_earlier_release_are_read_and_rewritten_unchanged(tmp_path):
    runs = TrackedRuns("1", "abc", {"A": "d"})
    digest = Splits(SPLITS, "patient", 0, {"asked": [1, 1], "A": [1, 0]}, tracking=runs).write(tmp_path)
    assert (tmp_path / "splits.json").read_text() == SPLITS_JSON.replace("DIGEST", digest)
    (tmp_path / "splits.json").write_text(SPLITS_JSON)
    Splits._seal(tmp_path)
    assert Splits.read(tmp_path).tracking == runs


def test_digest_of_splits_does_not_depend_on_mlflow(tmp_path):
    one = Splits(SPLITS, "patient", 0, {}, tracking=TrackedRuns(parent="a")).write(tmp_path / "a")
    two = Splits(SPLITS, "patient", 0, {}, tracking=TrackedRuns(parent="b")).write(tmp_path / "b")
    assert one == two


def test_members_of_two_packs_are_gathered_in_order(tmp_path):
    splits = Splits(SPLITS, "patient", 0, {})
    Members((member(SPLITS[1]),), "d").write(tmp_path / "2")
    Members((member(SPLITS[0]),), "d").write(tmp_path / "1")
    gathered = Members.gather([tmp_path / "2", tmp_path / "1"], splits)
    assert [one.id for one in gathered.members] == ["A-01", "A-02"]
    np.testing.assert_array_equal(gathered.members[0].probabilities, np.full(4, 0.25, np.float32))


def test_an_incomplete_set_of_members_is_refused(tmp_path):
    Members((member(SPLITS[0]),), "d").write(tmp_path)
    with pytest.raises(InputError, match="A-02: missing"):
        Members.gather([tmp_path], Splits(SPLITS, "patient", 0, {}))


#: As runs and member stores hold it since the first layout.
MEMBER_JSON = """{
 "facts": {
  "accepted_step": 20,
  "determinism": "bitwise-cpu",
  "flagged": false,
  "key": "0123abcd",
  "restarts": 1,
  "reused": false,
  "seconds": 2.5,
  "seed": 1,
  "validation_accuracy": 0.75
 },
 "split": {
  "evaluation": [
   "T-4"
  ],
  "group": "A",
  "index": 1,
  "training": [
   "T-1",
   "T-2"
  ],
  "validation": [
   "T-3"
  ]
 },
 "weights": [
  "conv_1_kernel"
 ]
}
"""


def test_a_member_of_an_earlier_release_is_read_and_rewritten_unchanged(tmp_path):
    written = dataclasses.replace(member(SPLITS[0]), facts=made_facts(key="0123abcd"))
    write_member(tmp_path, written)
    assert (tmp_path / "member.json").read_text() == MEMBER_JSON
    (tmp_path / "member.json").write_text(MEMBER_JSON)
    read = read_member(tmp_path)
    assert (read.split, list(read.weights), read.facts) == (SPLITS[0], ["conv_1_kernel"], written.facts)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"seed": 1,', "", "facts.seed: Field required"),
        ('"seed": 1,', '"seed": "1",', "facts.seed: Input should be a valid integer"),
        ('"seed": 1,', '"seed": 1.5,', "facts.seed: "),
        ('"seed": 1,', '"seed": 1, "age": 70,', "facts.age: Unexpected keyword argument"),
        ('"seconds": 2.5', '"seconds": NaN', "facts.seconds: Input should be a finite number"),
        ('"flagged": false', '"flagged": 0', "facts.flagged: Input should be a valid boolean"),
        ('"T-3"', "3", "split.validation.0: Input should be a valid string"),
        ('"weights"', '"names"', "weights: Field required"),
        ("{", "", "member.json: Invalid JSON"),
        ("{", "[" * 100_000, "member.json: Invalid JSON"),
    ],
)
def test_a_damaged_member_is_refused_with_the_key_that_is_wrong(tmp_path, old, new, problem):
    Members((member(SPLITS[0]),), "d").write(tmp_path)
    path = tmp_path / "A-01" / "member.json"
    path.write_text(MEMBER_JSON.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_member(path.parent)
    assert caught.value.code == "ARTIFACT_DAMAGED"
    assert "members: member.json does not have the expected contents:" in str(caught.value)
    assert problem in str(caught.value)
    assert not {"70", "1.5"} & set(str(caught.value).split())


def sealed(folder, change):
    """An evaluation's folder whose ``metrics.json`` says what ``change`` makes of it, under a layout that fits."""
    written = Evaluation(pd.DataFrame({"tumour": ["T-1"]}), pd.DataFrame({"group": ["A"]}), golden_metrics())
    written.write(folder)
    metrics = read_json(folder / "metrics.json")
    change(metrics)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    Evaluation._seal(folder)
    return folder


def test_evaluation_round_trip(tmp_path):
    assert Evaluation.read(sealed(tmp_path, dict)).metrics == golden_metrics()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: m.pop("mean_auc"), "mean_auc: Field required"),
        (lambda m: m.update(mean_auc=None), "mean_auc: Input should be a valid number"),
        (lambda m: m.update(mean_auc=math.nan), "mean_auc: Input should be a finite number"),
        (lambda m: m.update(primary_score="median"), "primary_score: Input should be 'mean' or 'vote'"),
        (lambda m: m.update(comment="P-7"), "comment: Unexpected keyword argument"),
        (lambda m: m["groups"]["A"].pop("spread"), "groups.A.spread: Field required"),
        (lambda m: m["groups"]["B"]["evaluation"]["vote"].update(auc="0.8"), "groups.B.evaluation.vote.auc: Input"),
        (lambda m: m["groups"]["B"]["confusion_by_response"].update(XX={}), "groups.B.confusion_by_response.XX: "),
    ],
)
def test_metrics_that_are_missing_unknown_or_of_another_type_are_refused(tmp_path, change, problem):
    with pytest.raises(InputError) as caught:
        Evaluation.read(sealed(tmp_path, change))
    assert caught.value.code == "ARTIFACT_DAMAGED"
    assert "evaluation: metrics.json does not have the expected contents:" in str(caught.value)
    assert problem in str(caught.value)
    assert "P-7" not in str(caught.value)


def test_promotion_round_trip(tmp_path):
    written = Promotion("promoted", ("mean AUC 0.80",), "3", "B", "", {"A": "2", "B": "3"})
    digest = written.write(tmp_path)
    assert Promotion.read(tmp_path) == dataclasses.replace(written, digest=digest)


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "x.json", {"auc": float("nan")})
