"""The rim of the room: a promoted version in; an InferenceService pinned to it, and a summary page, out."""

import tempfile
from pathlib import Path
from typing import Any

from components.common.errors import SrsError
from components.common.steps import ends_on_sigterm, write_summary
from components.deploy.cluster import Cluster, cluster_configuration, read_template
from components.deploy.inference_service import Pin, build
from components.deploy.rollout import deploy
from components.deploy.smoke import ask_golden
from components.deploy.template import Template
from components.model.bundle_files import Bundle
from components.promote import registry


def run(version: str, model_name: str, namespace: str, summary: str) -> None:
    """Pins the InferenceService to ``version``; "" (the gate promoted nothing) changes nothing.

    Where it fails for whatever reason, SIGTERM included, the registry's alias goes back to the version that is served.
    """
    if not version:
        write_summary(summary, "Deployment", {"outcome": "the gate promoted nothing"}, synthetic=False)
        return
    with ends_on_sigterm():
        try:
            facts, synthetic = _deploy(version, model_name, namespace)
        except BaseException as error:
            _put_back(model_name, version, error)
            raise
    write_summary(summary, "Deployment", facts, synthetic=synthetic)


def _put_back(model_name: str, version: str, error: BaseException) -> None:
    """Puts the alias back; where that fails too, the first reason is told with what is left to do."""
    what = error.safe_message if isinstance(error, SrsError) else f"deploy stopped on a {type(error).__name__}"
    try:
        registry.rollback(model_name, failed_deploy=version, reason=what)
    except Exception as second:
        why = second.code if isinstance(second, SrsError) else type(second).__name__
        left = f"{what}; and the alias {registry.CHAMPION} still names version {version} ({why})"
        hint = "`srs rollback` puts the alias back once MLflow answers."
        kind, code = (type(error), error.code) if isinstance(error, SrsError) else (SrsError, "DEPLOY_FAILED")
        first_hint = f"{error.hint} " if isinstance(error, SrsError) else ""
        raise kind(code, left, f"{first_hint}{hint}") from error


def _deploy(version: str, model_name: str, namespace: str) -> tuple[dict[str, Any], bool]:
    configuration = cluster_configuration()
    template = Template.from_mapping(read_template(configuration, namespace))
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Bundle.read(registry.download(model_name, version, Path(scratch)))
        manifest = bundle.manifest
        digests = {"bundle-digest": manifest.digest, "image-digest": manifest.image_digest}
        pin = Pin(model_name, version, registry.source_uri(model_name, version), digests)
        tolerance = manifest.golden_tolerance["probability"]
        notes: list[str] = []
        outcome = deploy(
            Cluster(configuration, namespace),
            build(template, pin, namespace),
            template,
            is_champion=lambda: (now := registry.champion(model_name)) is not None and now.version == version,
            smoke=lambda url: ask_golden(url, model_name, version, bundle.golden, tolerance),
            tell=notes.append,
        )
    facts = {"outcome": outcome, "version": version, "InferenceService": template.name, **digests}
    return facts | ({"note": "; ".join(notes)} if notes else {}), manifest.synthetic
