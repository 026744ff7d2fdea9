"""The template ConfigMap is read as settings; what is not is refused with the reason."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client

from components.common.errors import InputError
from components.deploy.cluster import read_template
from tests.kubernetes_api import KubernetesApi

PATH = "/api/v1/namespaces/hospital/configmaps/srs-response-template"


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    server = KubernetesApi()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def read(api: KubernetesApi, data: dict[str, str]) -> dict[str, Any]:
    api.objects[PATH] = {"metadata": {"name": "srs-response-template"}, "data": data}
    configuration = client.Configuration()
    configuration.host = api.address
    return read_template(configuration, "hospital")


def test_settings_are_read(api):
    text = 'max_replicas: 3\nlabels: {owner: "1"}\nannotations: {reviewed: 2026-01-31}\n'
    expected = {"max_replicas": 3, "labels": {"owner": "1"}, "annotations": {"reviewed": "2026-01-31"}}
    assert read(api, {"inferenceservice.yaml": text}) == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"other.yaml": ""}, "the key is missing"),
        ({"inferenceservice.yaml": ""}, "no settings"),
        ({"inferenceservice.yaml": "- name"}, "no settings"),
        ({"inferenceservice.yaml": "name: a\nname: b"}, "'name' is given more than once"),
        ({"inferenceservice.yaml": "name: {"}, "line 1"),
        ({"inferenceservice.yaml": "[" * 3000}, "nested too deeply"),
        ({"inferenceservice.yaml": "labels: &a\nannotations: *a"}, "line 2: aliases"),
    ],
)
def test_another_text_is_refused_with_the_reason(api, data, reason):
    with pytest.raises(InputError) as caught:
        read(api, data)
    assert caught.value.code == "TEMPLATE_UNREADABLE"
    assert reason in caught.value.safe_message
    assert caught.value.hint
