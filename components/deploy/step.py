"""The rim of the room: a promoted version in; an InferenceService pinned to it, and a summary page, out."""

import tempfile
from pathlib import Path
from typing import Any

from components.common.errors import SrsError
from components.common.steps import write_summary
from components.deploy.cluster import Cluster, cluster_configuration, read_template
from components.deploy.inference_service import Pin, Template, build
from components.deploy.rollout import deploy
from components.deploy.smoke import ask_golden
from components.promote import registry
from components.promote.manifest import Manifest


def run(version: str, model_name: str, namespace: str, summary: str) -> None:
    """Pins the InferenceService to ``version``; "" (the gate promoted nothing) changes nothing.

    Where it fails for whatever reason, the registry's alias goes back to the version that is served.
    """
    if not version:
        write_summary(summary, "Deployment", {"outcome": "the gate promoted nothing"}, synthetic=False)
        return
    try:
        facts, synthetic = _deploy(version, model_name, namespace)
    except SrsError as error:
        registry.rollback(model_name, failed_deploy=version, reason=error.safe_message)
        raise
    write_summary(summary, "Deployment", facts, synthetic=synthetic)


def _deploy(version: str, model_name: str, namespace: str) -> tuple[dict[str, Any], bool]:
    configuration = cluster_configuration()
    template = Template.from_mapping(read_template(configuration, namespace))
    with tempfile.TemporaryDirectory() as scratch:
        bundle = registry.download(model_name, version, Path(scratch))
        manifest = Manifest.read(bundle)
        digests = {"bundle-digest": manifest.digest, "image-digest": manifest.image_digest}
        pin = Pin(model_name, version, registry.source_uri(model_name, version), digests)
        tolerance = manifest.golden_tolerance["probability"]
        notes: list[str] = []
        outcome = deploy(
            Cluster(configuration, namespace),
            build(template, pin, namespace),
            template,
            is_champion=lambda: registry.version_of(model_name, registry.CHAMPION) == version,
            smoke=lambda url: ask_golden(url, model_name, version, bundle, tolerance),
            tell=notes.append,
        )
    facts = {"outcome": outcome, "version": version, "InferenceService": template.name, **digests}
    return facts | ({"note": "; ".join(notes)} if notes else {}), manifest.synthetic
