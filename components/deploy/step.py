"""The rim of the room: a promoted version in; an InferenceService pinned to it, and a summary page, out."""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from components.common.errors import InputError, SrsError
from components.common.steps import write_summary
from components.deploy.cluster import Cluster, cluster_configuration
from components.deploy.inference_service import Pin, Template, build
from components.deploy.rollout import deploy
from components.deploy.smoke import ask_golden
from components.promote import registry
from components.promote.manifest import Manifest

#: ConfigMap of kustomize with what the platform engineer sets, and its key.
TEMPLATE_CONFIG_MAP, TEMPLATE_KEY = "srs-response-template", "inferenceservice.yaml"


def run(version: str, model_name: str, namespace: str, summary: str) -> None:
    """Pins the InferenceService to ``version``; "" (the gate promoted nothing) changes nothing."""
    if not version:
        write_summary(summary, "Deployment", {"outcome": "the gate promoted nothing"}, synthetic=False)
        return
    configuration = cluster_configuration()
    with tempfile.TemporaryDirectory() as scratch:
        bundle = registry.download(model_name, version, Path(scratch))
        manifest = Manifest.read(bundle)
        digests = {"bundle-digest": manifest.digest, "image-digest": manifest.image_digest}
        pin = Pin(model_name, version, registry.source_uri(model_name, version), digests)
        tolerance = manifest.golden_tolerance["probability"]
        template = read_template(configuration, namespace)
        body = build(template, pin, namespace)
        notes: list[str] = []
        outcome = deploy(
            Cluster(configuration, namespace),
            body,
            template,
            is_champion=lambda: registry.version_of(model_name, registry.CHAMPION) == version,
            smoke=lambda url: ask_golden(url, model_name, version, bundle, tolerance),
            put_back=lambda reason: _put_back(model_name, version, reason),
            tell=notes.append,
        )
    facts = {"outcome": outcome, "version": version, "address": body["metadata"]["name"], **digests}
    facts |= {"note": "; ".join(notes)} if notes else {}
    write_summary(summary, "Deployment", facts, synthetic=manifest.synthetic)


def _put_back(model_name: str, version: str, reason: str) -> None:
    registry.rollback(model_name, failed_deploy=version, reason=reason)


def read_template(configuration: Any, namespace: str) -> Template:
    """The template of the namespace.

    Raises
    ------
    InputError
        ``TEMPLATE_UNREADABLE``, ``TEMPLATE_UNKNOWN`` or ``TEMPLATE_INVALID``.
    SrsError
        ``TEMPLATE_MISSING``.
    """
    core = client.CoreV1Api(client.ApiClient(configuration))
    try:
        found = core.read_namespaced_config_map(TEMPLATE_CONFIG_MAP, namespace, _request_timeout=30)
        values = yaml.safe_load(found.data[TEMPLATE_KEY])
    except client.ApiException as error:
        hint = f"Apply infra/ first: it brings the ConfigMap {TEMPLATE_CONFIG_MAP}."
        raise SrsError("TEMPLATE_MISSING", f"the cluster answered {error.status} for the template", hint) from None
    except (TypeError, KeyError, yaml.YAMLError):
        raise InputError("TEMPLATE_UNREADABLE", f"{TEMPLATE_CONFIG_MAP} has no readable {TEMPLATE_KEY}") from None
    return Template.from_mapping(values)
