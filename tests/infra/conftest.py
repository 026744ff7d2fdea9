"""The overlays, rendered once."""

import os
from pathlib import Path

import pytest

from tests.infra.manifests import INFRA, KUBECTL, OVERLAYS, Object, render


def _with(folder: Path, component: str) -> Path:
    """An overlay of a user's own: kind's, and a component."""
    above = os.path.relpath(INFRA, folder.resolve())
    (folder / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"resources: [{above}/overlays/kind]\ncomponents: [{above}/components/{component}]\n"
    )
    return folder


@pytest.fixture(scope="session")
def rendered(tmp_path_factory) -> dict[str, list[Object]]:
    """Overlay -> objects."""
    if KUBECTL is None:
        pytest.skip("kubectl is not installed")
    found = {name: render(INFRA / "overlays" / name) for name in OVERLAYS}
    more = {"monitored": "service-monitor", "signed": "signed-bundles"}
    return found | {name: render(_with(tmp_path_factory.mktemp(name), component)) for name, component in more.items()}
