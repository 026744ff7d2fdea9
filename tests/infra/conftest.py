"""The renderings, made once."""

import os
from pathlib import Path

import pytest

from tests.infra.manifests import INFRA, KUBECTL, OVERLAYS, Object, render


def _with_monitor(folder: Path) -> Path:
    """An overlay of a user's own: kind's, and the ServiceMonitor."""
    above = os.path.relpath(INFRA, folder.resolve())
    (folder / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"resources: [{above}/overlays/kind]\ncomponents: [{above}/components/service-monitor]\n"
    )
    return folder


@pytest.fixture(scope="session")
def rendered(tmp_path_factory) -> dict[str, list[Object]]:
    """Overlay -> objects."""
    if KUBECTL is None:
        pytest.skip("kubectl is not installed")
    found = {name: render(INFRA / "overlays" / name) for name in OVERLAYS}
    return {**found, "monitored": render(_with_monitor(tmp_path_factory.mktemp("monitored")))}
