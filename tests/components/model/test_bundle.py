"""Writing bundles."""

import dataclasses
import json

import numpy as np
import pytest

from components.common.artifacts.splits import MemberSplit
from components.common.errors import BundleError
from components.common.files import digest_of
from components.common.presets import resolve
from components.model.bundle import pip_requirements, signature
from components.model.golden import GoldenInput
from components.model.manifest import Manifest
from components.model.networks.building import build_network
from components.model.runtime import Ensemble
from components.model.seen import crop_digests, patient_digest
from tests.components.model.bundles import (
    SETTINGS,
    draw_crops,
    golden_input,
    make_bundle,
    make_dataset,
    make_members,
    write,
)
from tests.components.networks import reference_probabilities


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.mark.parametrize(("network", "level"), [({}, 40), ({"pool_1": 3, "kernel_2": 4, "pool_2": 5}, 55)])
def test_the_graph_answers_as_the_keras_networks_do(tmp_path, rng, network, level):
    sizes = {"filters_1": 5, "filters_2": 7, "dense_1": 9, "dense_2": 6, **network}
    settings = resolve("default", {"train": {"window_level_hu": level}, "network": sizes})
    dataset = make_dataset(rng)
    members = make_members(dataset, settings, rng, 2)
    write(tmp_path, members, dataset, settings)
    crops = draw_crops(6, rng)
    built = build_network(settings)
    expected = np.stack([reference_probabilities(m.weights, crops, built, settings.train) for m in members], axis=1)
    np.testing.assert_allclose(Ensemble.open(tmp_path).probabilities(crops), expected, atol=1e-5)


def test_one_member_is_a_bundle_too(tmp_path):
    manifest = make_bundle(tmp_path, count=1)
    ensemble = Ensemble.open(tmp_path)
    assert ensemble.manifest.members == manifest.members == ("A-01",)
    assert ensemble.probabilities(draw_crops(3, np.random.default_rng(2))).shape == (3, 1)


def test_the_same_input_gives_the_same_digest(tmp_path):
    assert make_bundle(tmp_path / "a").digest == make_bundle(tmp_path / "b").digest
    assert make_bundle(tmp_path / "c", seed=2).digest != Manifest.read(tmp_path / "a").digest


def test_the_manifest_lists_the_patients_seen(tmp_path, rng):
    dataset = make_dataset(rng)
    members = make_members(dataset, SETTINGS, rng, 2)
    manifest = write(tmp_path, members, dataset, SETTINGS, run="x")
    developed = dataset.tumours.tumour.isin(members[0].split.training + members[0].split.validation)
    expected = {patient_digest(SETTINGS.study, patient) for patient in dataset.tumours.patient[developed]}
    assert set(manifest.seen_patients) == expected
    assert set(manifest.seen_crops) == set(crop_digests(SETTINGS.study, dataset.crops[developed]))
    assert len(expected) < dataset.tumours.patient.nunique() + 1
    assert manifest.image_digest == digest_of(dataset.image_definition)
    assert manifest.group == "A"
    assert manifest.synthetic is True
    assert manifest.extra == {"run": "x"}
    assert manifest.dataset_digest == dataset.digest
    means = dataset.crops[developed.to_numpy()].mean(axis=(1, 2))
    assert manifest.training_crops["mean_hu"]["100"] == pytest.approx(means.max(), abs=2e-3)
    assert manifest.training_crops["mean_hu"]["50"] == pytest.approx(np.median(means), abs=2e-3)
    text = (tmp_path / "manifest.json").read_text()
    assert not any(name in text for name in [*dataset.tumours.patient, *dataset.tumours.tumour])
    assert Manifest.read(tmp_path) == manifest


def test_refuses_a_graph_that_differs_from_training(tmp_path, rng):
    dataset = make_dataset(rng)
    (member,) = make_members(dataset, SETTINGS, rng, 1)
    wrong = dataclasses.replace(member, probabilities=(1 - member.probabilities).astype(np.float32))
    with pytest.raises(BundleError) as error:
        write(tmp_path, [wrong], dataset, SETTINGS)
    assert error.value.code == "EXPORT_DIFFERS"


def test_the_golden_input_round_trip(tmp_path):
    given = golden_input()
    given.write(tmp_path)
    read = GoldenInput.read(tmp_path)
    np.testing.assert_array_equal(read.slice_hu, given.slice_hu)
    np.testing.assert_array_equal(read.contour_xy_mm, given.contour_xy_mm)
    assert read.row_step_xy_mm == given.row_step_xy_mm


def test_a_bundle_of_all_groups_says_which_patients_each_group_has_not_seen(tmp_path, rng):
    dataset = make_dataset(rng, tumours=12, patients=12)
    members = make_members(dataset, SETTINGS, rng, 4)
    names = tuple(dataset.tumours.tumour)
    of_b = [
        dataclasses.replace(member, split=MemberSplit("B", index, names[2:9], names[9:], names[:2]))
        for index, member in enumerate(members[2:], start=1)
    ]
    members = [*members[:2], *of_b]
    manifest = write(tmp_path / "study", members, dataset, SETTINGS)
    assert (manifest.group, manifest.members) == ("study", ("A-01", "A-02", "B-01", "B-02"))
    assert manifest.groups["B"]["members"] == ["B-01", "B-02"]
    digests = {group: {patient_digest("srs-response", f"P{i:03d}") for i in numbers}
               for group, numbers in (("A", (10, 11)), ("B", (0, 1)))}  # fmt: skip
    assert {name: set(facts["held_out"]) for name, facts in manifest.groups.items()} == digests
    assert len(manifest.seen_patients) == 12
    assert Ensemble.open(tmp_path / "study").probabilities(dataset.crops).shape == (12, 4)


def test_signature_and_requirements_name_the_columns_and_versions():
    columns = [one["name"] for one in json.loads(signature(["A-01"])["outputs"])]
    answers = ["probability", "vote_fraction", "spread", "score", "calibrated_probability", "non_responder"]
    assert columns == [*answers, "A-01"]
    assert all("==" in requirement for requirement in pip_requirements())
    assert not any(requirement.startswith(("tensorflow", "srs")) for requirement in pip_requirements())
