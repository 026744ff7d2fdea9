"""The deployment step: pins the InferenceService to a promoted version, and writes a summary page."""

import tempfile
from pathlib import Path
from typing import Any

from components.common.errors import SrsError
from components.common.steps import ends_on_sigterm, write_summary
from components.deploy.cluster import Cluster, cluster_configuration, read_template
from components.deploy.inference_service import Pin, build
from components.deploy.rollout import deploy
from components.deploy.smoke import query_golden_case
from components.deploy.template import Template
from components.model.bundle_files import Bundle
from components.promote import registry


def run(version: str, model_name: str, namespace: str, summary: str) -> None:
    """Pins the InferenceService to ``version``; does nothing for "" (the gate promoted no version).

    On any failure, SIGTERM included, the registry's alias is set back to the version that is served.
    """
    if not version:
        write_summary(summary, "Deployment", {"outcome": "the gate promoted no version"}, synthetic=False)
        return
    with ends_on_sigterm():
        try:
            facts, synthetic = _deploy(version, model_name, namespace)
        except BaseException as error:
            _restore_alias(model_name, version, error)
            raise
    write_summary(summary, "Deployment", facts, synthetic=synthetic)


def _restore_alias(model_name: str, version: str, error: BaseException) -> None:
    """Sets the alias back; if that fails too, raises the first error with a hint how to do it by hand."""
    what = error.safe_message if isinstance(error, SrsError) else f"deploy stopped on a {type(error).__name__}"
    try:
        registry.rollback(model_name, failed_deploy=version, reason=what)
    except Exception as second:
        why = second.code if isinstance(second, SrsError) else type(second).__name__
        message = f"{what}; and the alias {registry.CHAMPION} still names version {version} ({why})"
        hint = "`srs rollback` sets the alias back once MLflow responds."
        kind, code = (type(error), error.code) if isinstance(error, SrsError) else (SrsError, "DEPLOY_FAILED")
        first_hint = f"{error.hint} " if isinstance(error, SrsError) else ""
        raise kind(code, message, f"{first_hint}{hint}") from error


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
            smoke=lambda url: query_golden_case(url, model_name, version, bundle.golden, tolerance),
            notify=notes.append,
        )
    facts = {"outcome": outcome, "version": version, "InferenceService": template.name, **digests}
    return facts | ({"note": "; ".join(notes)} if notes else {}), manifest.synthetic
