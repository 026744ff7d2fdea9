"""The workflows call what exists: make targets, versions, and all parameters that the test on a cluster needs."""

import re
import tomllib

import pytest
import yaml

from tests.docs.pages import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INFRA_PAGE = (ROOT / "infra" / "README.md").read_text()


def steps(name):
    """All steps of a workflow's jobs."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", [path.stem for path in WORKFLOWS])
def test_make_targets_exist(name):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for step in steps(name) for line in step.get("run", "").splitlines()]
    called = [
        word for line in lines if line.strip().startswith("make ") for word in line.split()[1:] if "=" not in word
    ]
    assert called
    assert set(called) <= targets


@pytest.mark.parametrize("name", [path.stem for path in WORKFLOWS])
def test_actions_are_pinned_by_their_major_version(name):
    used = [step["uses"] for step in steps(name) if "uses" in step]
    assert used
    assert not [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@v\d+", action)]


def test_every_supported_python_is_tested():
    (job,) = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"].values()
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(int(low), int(high))]


def test_the_cluster_is_told_all_that_its_test_needs():
    source = (ROOT / "tests" / "e2e" / "test_cluster.py").read_text()
    needed = set(re.findall(r'^    "([A-Z0-9_]+)": "', source, re.MULTILINE))
    assert len(needed) > 5
    given = {name for step in steps("e2e") for name in step.get("env", {})}
    given |= {name for step in steps("e2e") for name in re.findall(r"echo \"(\w+)=.*GITHUB_ENV", step.get("run", ""))}
    assert needed <= given


def test_the_cluster_has_the_versions_that_its_page_names():
    environment = yaml.safe_load((ROOT / ".github" / "workflows" / "e2e.yml").read_text())["env"]
    assert environment["TAG"] == PROJECT["version"]
    assert f"?ref={environment['KFP']}" in INFRA_PAGE
    assert f"--version {environment['KSERVE']}" in INFRA_PAGE
