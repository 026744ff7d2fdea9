"""The rules for imports between packages, and names that no dependency may use."""

import ast
import graphlib
import importlib.metadata
import itertools
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("components", "pipelines", "serving")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LOCK = (ROOT / "requirements.lock").read_text()

#: Library -> pattern of the only modules that may import it.
DOORS = {
    "kfp": r"components/\w+/component\.py|pipelines/(definitions|local|cluster)/\w+\.py",
    "kfp_server_api": r"pipelines/cluster/\w+\.py",
    "mlflow": r"components/(common/(tracking(_store)?|mlflow_\w+)|promote/bundle_model|model/pyfunc_model)\.py",
    "kubernetes": r"components/deploy/\w+\.py|pipelines/doctor/namespace\.py",
    "kserve": r"components/common/kserve_import\.py",
    "minio": r"components/common/store/bucket\.py",
    "tensorflow": r"components/train/\w+\.py",
    "keras": r"components/model/network\.py",
    "numba": r"components/train/convolution\.py",
    "onnxruntime": r"components/model/\w+\.py",
    "onnx": r"components/model/\w+\.py",
    "pydantic": r"components/common/(checked|settings|kubernetes_text|artifacts/\w+)\.py|components/deploy/template\.py"
    r"|pipelines/definitions/(options|parameters)\.py",
    "cryptography": r"components/model/signing\.py",
    "matplotlib": r"components/(figures|evaluate)/\w+\.py|pipelines/commands/picture\.py",
    "jinja2": r"components/evaluate/\w+\.py",
}


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Dotted names that a module imports, anywhere in it or only at its top."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("library", DOORS)
def test_library_is_imported_only_by_its_doors(library):
    users = [name_of(path) for path in MODULES if any(n.split(".")[0] == library for n in imports(path))]
    strangers = [user for user in users if not re.fullmatch(DOORS[library], user)]
    assert not strangers, f"{library} is imported by {strangers}"
    assert users, f"nothing imports {library}: drop it, or this rule"


#: Other modules may import only value types of MLflow, which call no server. The last of these runs elsewhere.
MLFLOW_VALUES = r"mlflow\.(entities|models|data\.code_dataset_source)(\.[A-Z]\w+)?"
MLFLOW_MODULES = ("components/common/mlflow_client.py", "components/model/pyfunc_model.py")


def test_mlflow_is_called_through_one_module():
    """Elsewhere an error of MLflow would end in a traceback."""
    strangers = []
    for path in MODULES:
        if name_of(path) in MLFLOW_MODULES:
            continue
        used = {name for name in imports(path) if name.split(".")[0] == "mlflow"}
        known = MLFLOW_VALUES if name_of(path) != "components/common/mlflow_errors.py" else r"mlflow\.exceptions.*"
        strangers += [f"{name_of(path)} imports {name}" for name in used if not re.fullmatch(known, name)]
    assert not strangers


def test_kserve_is_imported_through_one_module_in_tests_too():
    """Its import parses the command line, so that ``pytest --co`` would end there."""
    tests = [path for path in (ROOT / "tests").rglob("*.py") if any(n.split(".")[0] == "kserve" for n in imports(path))]
    assert [name_of(path) for path in tests] == []


#: Rooms that know nothing of a step; a step, the pipelines and the predictor build on them. A library imports those
#: that are named for it, and itself.
LIBRARIES = {
    "common": set(),
    "imaging": {"common"},
    "stats": {"common"},
    "model": {"common", "imaging"},
    "figures": {"common"},
}
STEPS = {"phantom", "preprocess", "split", "train", "evaluate", "promote", "deploy"}
#: The only imports from step to step: the golden case is a phantom's, never a patient's; a deployment that fails puts
#: the registry's alias back.
BETWEEN_STEPS = {("promote", "phantom"), ("deploy", "promote")}
#: Rooms of the pipelines, each above those that it is given.
PIPELINES = {
    "definitions": set(),
    "local": {"definitions"},
    "cluster": {"definitions"},
    "doctor": {"definitions", "local", "cluster"},
    "commands": {"definitions", "local", "cluster", "doctor"},
}
SERVED = {"common", "imaging", "model"}


def may_import(module: str, name: str) -> bool:
    """Whether the file ``module`` may import the dotted ``name``, by the rules above; foreign packages may be."""
    (package, room, *_), (target, *rest) = [*module.split("/"), ""], name.split(".")
    inner = rest[0] if rest else ""
    if target not in PACKAGES:
        return True
    if package == "serving":
        return target == "serving" or (target == "components" and inner in SERVED)
    if package == "pipelines":
        return target != "serving" and (target != "pipelines" or inner in {room, ""} | PIPELINES[room])
    if target != "components":
        return False
    if room in LIBRARIES:
        return inner in {room, ""} | LIBRARIES[room]
    return inner in {room, ""} | set(LIBRARIES) or (room, inner) in BETWEEN_STEPS


def test_layers_are_imported_in_one_direction():
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in MODULES
        if path.name != "__init__.py"
        for name in sorted(imports(path))
        if not may_import(name_of(path), name)
    ]
    assert not wrong


def test_every_room_has_its_rules_and_every_exception_is_used():
    rooms = {path.parent.name for path in (ROOT / "components").glob("*/__init__.py")}
    assert rooms == set(LIBRARIES) | STEPS
    assert {path.parent.name for path in (ROOT / "pipelines").glob("*/__init__.py")} == set(PIPELINES)
    used = {
        (room, other)
        for room, other in itertools.permutations(STEPS, 2)
        for path in (ROOT / "components" / room).rglob("*.py")
        if any(name.startswith(f"components.{other}.") for name in imports(path))
    }
    assert used == BETWEEN_STEPS
    assert len(BETWEEN_STEPS) <= 2


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("components/train/step.py", "components.split.splits"),
        ("components/model/bundle.py", "components.train.engine"),
        ("components/common/files.py", "components.imaging.crop"),
        ("components/imaging/gtv.py", "components.model.manifest"),
        ("components/promote/step.py", "serving.predictor"),
        ("components/evaluate/step.py", "pipelines.local.home"),
        ("serving/predictor.py", "components.preprocess.cohort"),
        ("serving/predictor.py", "components.stats.auc"),
        ("serving/predictor.py", "pipelines.commands.models"),
        ("pipelines/local/runs.py", "pipelines.commands.terminal"),
        ("pipelines/definitions/pods.py", "pipelines.cluster.compiling"),
        ("pipelines/commands/models.py", "serving.predictor"),
    ],
)
def test_a_planted_violation_is_found(module, name):
    assert not may_import(module, name)


#: What the predictor's image does not hold.
NOT_SERVED = {"boto3", "kfp", "kubernetes", "minio", "mlflow", "tensorflow"}


def test_the_predictor_reaches_no_library_that_its_image_lacks():
    """No module that serving/ imports at its top, directly or not, reads a bucket or MLflow."""
    by_name = {".".join(Path(name_of(path)).with_suffix("").parts): path for path in MODULES}
    waiting, seen = [name for name in by_name if name.startswith("serving.")], set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            reached = imports(by_name[name], top_level_only=True)
            assert not {one.split(".")[0] for one in reached} & NOT_SERVED, name
            waiting += reached & set(by_name)
    assert {"components.common.store.zip", "components.imaging.gtv"} <= seen
    assert "components.common.store.bucket" not in seen


@pytest.mark.parametrize("parts", [2, 9], ids=["rooms", "modules"])
def test_there_is_no_import_cycle(parts):
    """Among rooms, and among modules; imports within functions count too."""
    names = {path: ".".join(Path(name_of(path)).with_suffix("").parts) for path in MODULES}
    edges = {".".join(name.split(".")[:parts]): set() for name in names.values()}
    for path, name in names.items():
        here = ".".join(name.split(".")[:parts])
        for imported in imports(path) & set(names.values()):
            edges[here] |= {".".join(imported.split(".")[:parts])} - {here}
    assert list(graphlib.TopologicalSorter(edges).static_order())


def test_component_modules_import_only_kfp_and_the_image_at_their_top():
    allowed = set(sys.stdlib_module_names) | {"kfp"}
    for path in ROOT.glob("components/*/component.py"):
        names = {n for n in imports(path, top_level_only=True) if not n.startswith("components.common.image")}
        assert {n.split(".")[0] for n in names} <= allowed, name_of(path)


def test_component_bodies_are_short():
    for path in ROOT.glob("components/*/component.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                statements = [n for n in ast.walk(node) if isinstance(n, ast.stmt)]
                assert len(statements) <= 12, f"{name_of(path)}: {node.name}"


def test_no_module_postpones_annotations_or_pickles():
    for path in MODULES:
        names = imports(path)
        assert not names & {"pickle", "cloudpickle", "joblib", "dill"}, name_of(path)
        assert "from __future__ import annotations" not in path.read_text(), name_of(path)


def test_package_files_of_components_are_empty():
    for path in ROOT.glob("components/**/__init__.py"):
        assert not path.read_text(), name_of(path)


def test_tests_are_not_a_package():
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_top_level_is_what_the_design_says():
    allowed = {"pipelines", "components", "serving", "infra", "tests", "pyproject.toml", "README.md", "Makefile"}
    allowed |= {
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "LICENSE",
        "docs",
        "requirements.lock",
        "runs",
        "srs_response.egg-info",
    }
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found <= allowed


def test_lock_has_hashes_and_no_address():
    assert not re.search(r"https?://|--index|--extra-index|--find-links", LOCK)
    entries = re.findall(r"^([a-z0-9][a-z0-9._-]*)==\S+.*\\$", LOCK, re.MULTILINE)
    assert len(entries) == len(re.findall(r"==", LOCK)) - len(re.findall(r";.*==", LOCK))
    assert len(entries) > 100


def test_no_locked_distribution_takes_our_names():
    locked = {m.lower() for m in re.findall(r"^([A-Za-z0-9][\w.-]*)==", LOCK, re.MULTILINE)}
    taken = []
    for name in sorted(locked):
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # a platform or Python that is not this one
        taken += [f"{name}: {file}" for file in files if file.parts[0] in (*PACKAGES, *(f"{p}.py" for p in PACKAGES))]
    assert not taken
