"""Writing bundles."""

import dataclasses
import json

import numpy as np
import pytest

from components.common.errors import BundleError
from components.common.files import digest_of
from components.common.presets import resolve
from components.model.bundle import pip_requirements, signature
from components.model.golden import GoldenInput
from components.model.manifest import Manifest, patient_digest
from components.model.networks.building import build_network
from components.model.runtime import Ensemble
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


def test_digests_do_not_reveal_patients():
    assert patient_digest("study", "P1") != patient_digest("other", "P1")
    assert len(patient_digest("study", "P1")) == 64


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


def test_signature_and_requirements_name_the_columns_and_versions():
    columns = [one["name"] for one in json.loads(signature(["A-01"])["outputs"])]
    assert columns == ["probability", "vote_fraction", "spread", "score", "non_responder", "A-01"]
    assert all("==" in requirement for requirement in pip_requirements())
    assert not any(requirement.startswith(("tensorflow", "srs")) for requirement in pip_requirements())
