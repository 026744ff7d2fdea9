"""Deployment against an imitated API server over HTTP, with an imitated KServe that starts a predictor."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from kubernetes import client

from components.common.errors import SrsError
from components.deploy import cluster as cluster_module
from components.deploy import rollout
from components.deploy.cluster import Cluster
from components.deploy.inference_service import APPLIED, FORMER, Pin, build
from components.deploy.rollout import deploy
from components.deploy.smoke import query_golden_case
from components.deploy.template import Template
from components.model.golden import GoldenCase, GoldenInput
from tests.kserve_api import NAME, NAMESPACE, WHERE, KServe, serving, version_of

TEMPLATE = Template(max_replicas=2, resources={"limits": {"memory": "1Gi"}})
GOLDEN, TOLERANCE = [0.25, 0.75], 1e-4


def pin(version: str) -> Pin:
    return Pin(NAME, version, f"s3://models/m-{version}/artifacts", {"bundle-digest": f"digest-{version}"})


def body_of(version: str, template: Template = TEMPLATE) -> dict[str, Any]:
    return build(template, pin(version), NAMESPACE)


@pytest.fixture
def kserve(monkeypatch: pytest.MonkeyPatch) -> Iterator[KServe]:
    monkeypatch.setattr(rollout, "POLL_S", 0.01)
    monkeypatch.setattr(cluster_module, "FIRST_PAUSE_S", 0.001)
    with serving(lambda _: GOLDEN) as api:
        yield api


@pytest.fixture
def cluster(kserve: KServe) -> Cluster:
    configuration = client.Configuration()
    configuration.host = kserve.address
    return Cluster(configuration, NAMESPACE, timeout_s=2.0)


@pytest.fixture
def golden() -> GoldenCase:
    """The golden case of a bundle, of which the smoke query needs crop and answers."""
    given = GoldenInput(np.zeros((4, 4), np.float32), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), np.zeros((3, 2)))
    return GoldenCase(given, np.zeros((151, 151), np.float32), np.array(GOLDEN, np.float32))


def bring(cluster: Cluster, golden: GoldenCase, version: str, template: Template = TEMPLATE, **changed: Any) -> Any:
    asked: dict[str, Any] = {
        "is_champion": lambda: True,
        "smoke": lambda url: query_golden_case(url, NAME, version, golden, TOLERANCE),
        "timeout_s": 20.0,
    }
    return deploy(cluster, body_of(version, template), template, **(asked | changed))


def test_waits_for_the_new_generation_and_queries_it(kserve: KServe, cluster: Cluster, golden: GoldenCase) -> None:
    assert bring(cluster, golden, "1") == "deployed"
    assert bring(cluster, golden, "2") == "deployed"
    assert kserve.serving() == ["2"]
    assert kserve.queries == ["1", "2"]  # never while the old generation's readiness still stood


def test_is_the_only_owner_of_what_it_applies(kserve: KServe, cluster: Cluster, golden: GoldenCase) -> None:
    bring(cluster, golden, "1")
    bring(cluster, golden, "2", Template())
    assert set(kserve.managers[WHERE]) == {"srs-response-deploy"}
    assert "resources" not in kserve.service["spec"]["predictor"]["model"]  # the template no longer names them


def test_leaves_what_others_added(kserve: KServe, cluster: Cluster, golden: GoldenCase) -> None:
    bring(cluster, golden, "1")
    theirs = {"metadata": {"name": NAME, "labels": {"team": "a"}}, "spec": {"predictor": {"timeout": 60}}}
    kserve.add(WHERE, theirs, "kubectl")
    for _ in range(3):  # until KServe has looked
        cluster.read(NAME)
    assert bring(cluster, golden, "1") == "unchanged"
    bring(cluster, golden, "2")
    assert kserve.service["metadata"]["labels"] == {"team": "a"}
    assert kserve.service["spec"]["predictor"]["timeout"] == 60


def test_restores_its_own_fields_after_a_manual_change(kserve: KServe, cluster: Cluster, golden: GoldenCase) -> None:
    bring(cluster, golden, "1")
    kserve.add(WHERE, {"metadata": {"name": NAME}, "spec": {"predictor": {"maxReplicas": 9}}}, "kubectl-edit")
    assert bring(cluster, golden, "1") == "deployed"
    assert kserve.service["spec"]["predictor"]["maxReplicas"] == 2


def test_does_nothing_when_nothing_changed(kserve: KServe, cluster: Cluster, golden: GoldenCase) -> None:
    bring(cluster, golden, "1")
    before = kserve.service["metadata"]["resourceVersion"]
    assert bring(cluster, golden, "1") == "unchanged"
    assert len(kserve.applied) == 1
    assert kserve.service["metadata"]["resourceVersion"] == before


def test_does_nothing_when_the_alias_was_moved(kserve: KServe, cluster: Cluster, golden: GoldenCase) -> None:
    assert bring(cluster, golden, "1", is_champion=lambda: False) == "moved on"
    assert kserve.applied == []


@pytest.mark.parametrize("status", [409, 429, 503])
def test_retries_after_transient_errors(status: int, kserve: KServe, cluster: Cluster, golden: GoldenCase) -> None:
    kserve.failures = [status] * 2
    assert bring(cluster, golden, "1") == "deployed"


def test_gives_up_after_endless_conflicts(kserve: KServe, cluster: Cluster, golden: GoldenCase) -> None:
    kserve.failures = [409] * 100
    with pytest.raises(SrsError, match="the cluster returned status 409"):
        bring(cluster, golden, "1")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("BlockedByFailedLoad", "ModelLoadFailed"),
        ("wrong answers", "not ready in 2 s: the golden answers differ by 0.65"),
        ("never ready", "not ready in 2 s: PredictorNotReady"),
    ],
)
def test_rolls_back_to_the_former_version(
    fault: str, reason: str, kserve: KServe, cluster: Cluster, golden: GoldenCase
) -> None:
    bring(cluster, golden, "1")
    kserve.broken["2"] = fault
    with pytest.raises(SrsError) as caught:
        bring(cluster, golden, "2", timeout_s=2.0)
    assert caught.value.code == "DEPLOY_FAILED"
    assert caught.value.safe_message == f"the version was rolled back: {reason}"
    assert kserve.serving() == ["1"]
    assert kserve.applied[0]["spec"] == kserve.applied[2]["spec"]
    assert bring(cluster, golden, "1") in ("unchanged", "deployed")


def test_a_first_version_that_fails_leaves_nothing(kserve: KServe, cluster: Cluster, golden: GoldenCase) -> None:
    kserve.broken["1"] = "BlockedByFailedLoad"
    with pytest.raises(SrsError):
        bring(cluster, golden, "1")
    assert WHERE not in kserve.objects


def test_an_attempt_that_died_while_waiting_can_still_be_rolled_back(
    kserve: KServe, cluster: Cluster, golden: GoldenCase
) -> None:
    bring(cluster, golden, "1")

    def dies(_: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring(cluster, golden, "2", smoke=dies)
    kserve.broken["2"] = "BlockedByFailedLoad"
    with pytest.raises(SrsError):
        bring(cluster, golden, "2")
    assert kserve.serving() == ["1"]


def test_does_not_roll_back_a_later_deployment(kserve: KServe, cluster: Cluster, golden: GoldenCase) -> None:
    bring(cluster, golden, "1")

    def overtaken(_: str) -> str:
        if kserve.serving() == ["2"]:
            kserve.add(WHERE, body_of("3"), "srs-response-deploy")
        return "another version replied"

    assert bring(cluster, golden, "2", smoke=overtaken, timeout_s=1.0) == "moved on"
    assert kserve.serving() == ["3"]


def test_a_cluster_that_refuses_during_the_deployment_is_reported(
    kserve: KServe, cluster: Cluster, golden: GoldenCase
) -> None:
    bring(cluster, golden, "1")

    def breaks(_: str) -> str:
        kserve.failures = [403] * 100
        return "wrong"

    with pytest.raises(SrsError, match="the cluster returned status 403"):
        bring(cluster, golden, "2", smoke=breaks, timeout_s=0.5)


@pytest.mark.parametrize("status", [401, 403, 500])
def test_reports_a_refusal_without_its_text(status: int, kserve: KServe, cluster: Cluster, golden: GoldenCase) -> None:
    kserve.failures = [status] * 100
    with pytest.raises(SrsError) as caught:
        bring(cluster, golden, "1")
    assert caught.value.safe_message == f"the cluster returned status {status}"


def test_a_missing_api_server_is_reported(golden: GoldenCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "FIRST_PAUSE_S", 0.001)
    configuration = client.Configuration()
    configuration.host = "http://127.0.0.1:9"
    with pytest.raises(SrsError, match="CLUSTER_UNREACHABLE"):
        bring(Cluster(configuration, NAMESPACE), golden, "1")


def test_applying_the_manifests_after_a_deployment_leaves_the_pin_alone(
    kserve: KServe, cluster: Cluster, golden: GoldenCase
) -> None:
    """Kustomize owns the template; a change of it takes effect with the next deployment, not before."""
    bring(cluster, golden, "1")
    pinned = json.dumps(kserve.service, sort_keys=True)
    template = f"/api/v1/namespaces/{NAMESPACE}/configmaps/srs-response-template"
    kserve.add(template, {"metadata": {"name": "srs-response-template"}, "data": {"inferenceservice.yaml": "a: 1"}})
    assert json.dumps(kserve.service, sort_keys=True) == pinned
    files = (Path(__file__).parents[3] / "infra").rglob("*.yaml")
    documents = [one for file in files for one in yaml.safe_load_all(file.read_text())]
    assert len(documents) > 10
    assert not [one for one in documents if isinstance(one, dict) and one.get("kind") == "InferenceService"]


CANARY = Template(canary_percent=10, gateway_api=True)


def test_a_canary_in_standard_mode_is_added_to_the_former_version(
    kserve: KServe, cluster: Cluster, golden: GoldenCase
) -> None:
    bring(cluster, golden, "1", CANARY)
    bring(cluster, golden, "2", CANARY)
    [spec] = kserve.canaries
    assert version_of(spec["predictor"]) == "1"
    assert [(version_of(one["predictor"]), one["trafficPercent"]) for one in spec["canary"]] == [("2", 10)]
    assert kserve.serving() == ["2"]
    assert "canary" not in kserve.service["spec"]
    assert kserve.queries == ["1", "2", "2"]


def test_a_canary_in_knative_mode_is_a_traffic_share_of_the_newest_revision(
    kserve: KServe, cluster: Cluster, golden: GoldenCase
) -> None:
    kserve.mode = "Knative"
    bring(cluster, golden, "1", Template(canary_percent=25))
    bring(cluster, golden, "2", Template(canary_percent=25))
    [spec] = kserve.canaries
    assert (version_of(spec["predictor"]), spec["predictor"]["canaryTrafficPercent"]) == ("2", 25)
    assert "canaryTrafficPercent" not in kserve.service["spec"]["predictor"]


def test_a_failed_canary_is_removed_and_the_former_version_stays(
    kserve: KServe, cluster: Cluster, golden: GoldenCase
) -> None:
    bring(cluster, golden, "1", CANARY)
    kserve.broken["2"] = "wrong answers"
    with pytest.raises(SrsError, match="DEPLOY_FAILED"):
        bring(cluster, golden, "2", CANARY, timeout_s=0.5)
    assert kserve.serving() == ["1"]
    assert "canary" not in kserve.service["spec"]
    assert len(kserve.canaries) == 1  # never more than a part of the traffic


def test_an_attempt_that_died_in_its_canary_is_continued(kserve: KServe, cluster: Cluster, golden: GoldenCase) -> None:
    bring(cluster, golden, "1", CANARY)

    def dies(_: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring(cluster, golden, "2", CANARY, smoke=dies)
    assert bring(cluster, golden, "2", CANARY) == "deployed"
    assert kserve.serving() == ["2"]
    former = json.loads(kserve.service["metadata"]["annotations"][FORMER])
    assert version_of(former["spec"]["predictor"]) == "1"
    assert version_of(json.loads(kserve.service["metadata"]["annotations"][APPLIED])["spec"]["predictor"]) == "2"


def test_reports_where_a_canary_is_impossible(kserve: KServe, cluster: Cluster, golden: GoldenCase) -> None:
    notes: list[str] = []
    without = Template(canary_percent=10)
    bring(cluster, golden, "1", without, notify=notes.append)
    bring(cluster, golden, "2", without, notify=notes.append)
    assert notes == [
        "no canary: no former version is served with which it could share the traffic",
        "no canary: KServe cannot share traffic in Standard mode without the Gateway API",
    ]
    assert not kserve.canaries
    assert kserve.serving() == ["2"]


def test_an_old_pod_that_still_answers_is_not_taken_for_the_new(
    kserve: KServe, cluster: Cluster, golden: GoldenCase
) -> None:
    bring(cluster, golden, "1")
    assert query_golden_case(kserve.predictor, NAME, "2", golden, TOLERANCE) == "another version replied"


def test_a_missing_predictor_is_reported(golden: GoldenCase) -> None:
    problem = query_golden_case("http://127.0.0.1:9", NAME, "2", golden, TOLERANCE)
    assert problem == "the predictor does not reply in the V2 protocol"
