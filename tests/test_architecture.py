"""The rules for imports between packages, and names that no dependency may use."""

import ast
import functools
import graphlib
import importlib.metadata
import itertools
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("components", "pipelines", "serving")
#: Folders with Python code that is not part of the programs, and that their images do not hold.
NOT_INSTALLED = ("infra", "tests")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LOCK = (ROOT / "requirements.lock").read_text()

#: Library -> pattern of the only modules that may import it.
IMPORTERS = {
    "kfp": r"components/\w+/component\.py|pipelines/(definitions|local|cluster)/\w+\.py",
    "kfp_server_api": r"pipelines/cluster/\w+\.py",
    "mlflow": r"components/(common/(tracking(_store|_later)?|mlflow_\w+)|promote/bundle_model|model/pyfunc_model)\.py",
    "kubernetes": r"components/deploy/\w+\.py|pipelines/doctor/(kserve|namespace|target)\.py",
    "kserve": r"components/common/kserve_import\.py",
    "minio": r"components/common/store/bucket\.py",
    "tensorflow": r"components/train/\w+\.py|components/model/tensorflow_process\.py",
    "keras": r"components/model/keras_backend\.py",
    "jax": r"components/train/\w+\.py|components/evaluate/saliency\.py",
    "numba": r"components/train/convolution\.py",
    "onnxruntime": r"components/model/\w+\.py",
    "onnx": r"components/model/\w+\.py",
    "pydantic": r"components/common/(checked|field_types|\w*settings|setting_types|kubernetes_text|artifacts/\w+)\.py"
    r"|components/deploy/template\.py|pipelines/definitions/(json_parameters|options|parameters)\.py",
    "cryptography": r"components/model/signing\.py",
    "matplotlib": r"components/(figures|evaluate)/\w+\.py|pipelines/commands/picture\.py",
    "jinja2": r"components/evaluate/pages\.py",
}


parsed = functools.lru_cache(1000)(ast.parse)


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Dotted names that a module imports, anywhere in it or only at its top."""
    return imports_in(path.read_text(), name_of(path), top_level_only=top_level_only)


def imports_in(source: str, module: str, *, top_level_only: bool = False) -> set[str]:
    """As ``imports``, of a source text that stands in the file ``module``."""
    tree = parsed(source)
    names = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = base_of(node, module)
            names |= {start} | {f"{start}.{alias.name}" for alias in node.names}
    return names


def base_of(node: ast.ImportFrom, module: str) -> str:
    """What an import is from; dots that lead out of the packages stay, and no package's name begins with one."""
    package = module.split("/")[: -node.level] if node.level else []
    above = "." * node.level if node.level and not package else ""
    return above + ".".join([*package, *filter(None, [node.module])])


def reached_in(source: str) -> set[str]:
    """Dotted names that a source text reads as attributes of a module, as ``import components`` allows."""
    tree = parsed(source)
    aliases = [alias for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    bound = {alias.asname or alias.name.split(".")[0]: alias.name for alias in aliases}
    bound |= {alias.name.split(".")[0]: alias.name.split(".")[0] for alias in aliases if not alias.asname}
    chains = [ast.unparse(node).split(".") for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return {".".join([bound[start], *rest]) for start, *rest in chains if start in bound}


def named_in(source: str) -> set[str]:
    """Modules that a source text names in a string or in bytes: dotted, as a path, or in an import statement."""
    tree = parsed(source)
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in documentation]
    texts = [node.value for node in constants if isinstance(node.value, str)]
    texts += [node.value.decode("latin-1") for node in constants if isinstance(node.value, bytes)]
    lists = [node.elts for node in ast.walk(tree) if isinstance(node, ast.List | ast.Tuple)]
    texts += [
        " ".join(map(ast.unparse, pair)).replace("'", "") for items in lists for pair in itertools.pairwise(items)
    ]
    top = "|".join((*PACKAGES, *NOT_INSTALLED))
    patterns = rf"(?<![\w./-])(?:{top})(?:\.\w+)+", rf"\b(?:from|import)\s+({top})\b", rf"-m ({top})\b"
    names = {name for text in texts for pattern in patterns for name in re.findall(pattern, text)}
    statement = rf"\bfrom\s+((?:{top})(?:\.\w+)*)\s+import\s+\(?([\w\s,]+)"
    statements = [found for text in texts for found in re.findall(statement, text)]
    names |= {f"{start}.{name}" for start, imported in statements for name in re.findall(r"\w+", imported)}
    paths = [path for text in texts for path in re.findall(rf"(?<![\w-])((?:{top})(?:/\w+)+)\.py\b", text)]
    return {name for name in names | {path.replace("/", ".") for path in paths} if is_module(name)}


def is_module(name: str) -> bool:
    """Whether a dotted name is that of a module, a package or something in a module here."""
    path = ROOT / name.replace(".", "/")
    return any(one.is_dir() or one.with_suffix(".py").is_file() for one in (path, path.parent) if one != ROOT)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("library", IMPORTERS)
def test_library_is_imported_only_by_the_modules_named_for_it(library):
    users = [name_of(path) for path in MODULES if any(n.split(".")[0] == library for n in imports(path))]
    strangers = [user for user in users if not re.fullmatch(IMPORTERS[library], user)]
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


#: Packages that know nothing of a step; the steps, the pipelines and the predictor build on them. Each imports itself
#: and those that are listed for it.
LIBRARIES = {
    "common": set(),
    "imaging": {"common"},
    "stats": {"common"},
    "model": {"common", "imaging", "stats"},
    "figures": {"common"},
}
STEPS = {"phantom", "preprocess", "split", "train", "evaluate", "promote", "deploy", "validate"}
#: The only imports from step to step: the golden case is a phantom's, never a patient's; a deployment that fails puts
#: the registry's alias back; a validation downloads and tags a registered version, and shows the tables and figures of
#: an evaluation, so that both reports look and compute alike.
BETWEEN_STEPS = {("promote", "phantom"), ("deploy", "promote"), ("validate", "promote"), ("validate", "evaluate")}
#: Packages of the pipelines, each with those that it may import.
PIPELINES = {
    "definitions": set(),
    "local": {"definitions"},
    "cluster": {"definitions"},
    "doctor": {"definitions", "local", "cluster"},
    "commands": {"definitions", "local", "cluster", "doctor"},
}
SERVED = {"common", "imaging", "model"}
#: Modules that may name another in a string although they may not import it, and why.
STARTED = {
    ("pipelines/local/predictor_process.py", "serving"): "the predictor runs as a process of its own, as in its image",
}
#: Functions that import or run what a string names.
DYNAMIC = {"__import__", "eval", "exec", "import_module", "run_module", "run_path"}
DYNAMIC |= {"spec_from_file_location", "SourceFileLoader"}
#: Modules that may call one of them, and why.
DYNAMIC_USERS = {
    "components/model/networks/building.py": "a user names the module of a network of their own",
    "components/common/contained_call.py": "a worker imports the module of the function that its parent calls in it",
}


def may_import(module: str, name: str) -> bool:
    """Whether the file ``module`` may import the dotted ``name``, by the rules above; foreign packages may be."""
    (top, package, *_), (target, *rest) = [*module.split("/"), ""], name.split(".")
    inner = rest[0] if rest else ""
    if target in ("", *NOT_INSTALLED):
        return False
    if target not in PACKAGES:
        return True
    if top == "serving":
        return target == "serving" or (target == "components" and inner in SERVED)
    if top == "pipelines":
        return target != "serving" and (target != "pipelines" or inner in {package, ""} | PIPELINES[package])
    if target != "components":
        return False
    if package in LIBRARIES:
        return inner in {package, ""} | LIBRARIES[package]
    return inner in {package, ""} | set(LIBRARIES) or (package, inner) in BETWEEN_STEPS


def violations(module: str, source: str) -> list[str]:
    """What a source text that stands in the file ``module`` imports, names or calls against the rules above."""
    imported = {name for name in imports_in(source, module) | reached_in(source) if not may_import(module, name)}
    named = {name for name in named_in(source) if not may_import(module, name) and (module, name) not in STARTED}
    called = {getattr(node, "attr", getattr(node, "id", "")) for node in ast.walk(parsed(source))}
    called |= {name.rpartition(".")[2] for name in imports_in(source, module)}
    dynamic = called & DYNAMIC if module not in DYNAMIC_USERS else set()
    return [f"{module}: {name}" for name in sorted(imported | named | dynamic)]


def test_layers_are_imported_in_one_direction():
    assert [line for path in MODULES for line in violations(name_of(path), path.read_text())] == []


def test_every_exception_for_names_in_strings_is_used():
    for module, name in STARTED:
        assert name in named_in((ROOT / module).read_text())
    for module in DYNAMIC_USERS:
        assert any(name in (ROOT / module).read_text() for name in DYNAMIC)


def test_every_package_has_its_rules_and_every_exception_is_used():
    packages = {path.parent.name for path in (ROOT / "components").glob("*/__init__.py")}
    assert packages == set(LIBRARIES) | STEPS
    assert {path.parent.name for path in (ROOT / "pipelines").glob("*/__init__.py")} == set(PIPELINES)
    used = {
        (package, other)
        for package, other in itertools.permutations(STEPS, 2)
        for path in (ROOT / "components" / package).rglob("*.py")
        if any(name.startswith(f"components.{other}.") for name in imports(path))
    }
    assert used == BETWEEN_STEPS
    assert len(BETWEEN_STEPS) <= 4


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("components/train/step.py", "from components.split.splits import packs"),
        ("components/model/bundle.py", "import components.train.engine"),
        ("components/common/files.py", "from components.imaging import crop"),
        ("components/imaging/gtv.py", "def f():\n    from components.model.manifest import Manifest"),
        ("components/promote/step.py", "import serving.predictor"),
        ("components/evaluate/step.py", "import pipelines.local.home"),
        ("serving/predictor.py", "import components.preprocess.cohort"),
        ("serving/predictor.py", "import components.stats.auc"),
        ("serving/predictor.py", "import pipelines.commands.models"),
        ("pipelines/local/runs.py", "import pipelines.commands.terminal"),
        ("pipelines/definitions/pods.py", "import pipelines.cluster.compiling"),
        ("pipelines/commands/models.py", "import serving.predictor"),
        ("components/train/step.py", "from ..split import splits"),
        ("components/train/step.py", "from ..split.splits import packs"),
        ("components/common/files.py", "import tests"),
        ("components/common/files.py", "from tests.components import crops"),
        ("serving/predictor.py", "import tests.serving.client as client"),
        ("pipelines/commands/cli.py", "from infra import cve"),
        ("components/train/step.py", 'importlib.import_module("components.split.splits")'),
        ("components/train/step.py", 'load("components.split.splits")'),
        ("components/train/step.py", 'load(f"components.split.splits:{name}")'),
        ("components/train/step.py", '__import__("components." + name)'),
        ("components/train/step.py", "from importlib import import_module as load"),
        ("components/train/step.py", "importlib.util.spec_from_file_location(name, path)"),
        ("components/train/step.py", "runpy.run_path(path)"),
        ("components/train/step.py", "exec(text)"),
        ("components/model/runtime.py", 'subprocess.run([sys.executable, "-m", "serving"])'),
        ("components/model/runtime.py", 'subprocess.run("python -m serving --help", shell=True)'),
        ("components/model/runtime.py", 'subprocess.run([sys.executable, "-c", "import serving"])'),
        ("serving/predictor.py", 'subprocess.run([sys.executable, "-c", "from pipelines.local import home"])'),
        ("pipelines/commands/cli.py", 'subprocess.run([sys.executable, "-m", "tests.docs.error_page"])'),
        ("components/train/step.py", 'subprocess.run([sys.executable, "-c", "from components import promote"])'),
        ("components/train/step.py", 'subprocess.run(["python", "-c", "from components import common, promote"])'),
        ("components/train/step.py", 'TEXT = """from components import (\n    promote,\n)"""'),
        ("components/train/step.py", 'TEXT = b"from components import promote"'),
        ("components/train/step.py", 'TEXT = b"import components.promote.gate"'),
        ("components/train/step.py", "import components\ncomponents.promote.gate.decide()"),
        ("components/train/step.py", "import components.common.files\ncomponents.promote"),
        ("components/train/step.py", "import components as ours\nours.promote.gate"),
        ("components/train/step.py", 'subprocess.run([sys.executable, "components/promote/gate.py"])'),
        ("components/train/step.py", 'subprocess.run([sys.executable, root + "/components/promote/gate.py"])'),
        ("components/train/step.py", "from ....... import pipelines"),
        ("components/train/step.py", "from ... import pipelines"),
        ("components/train/step.py", "from ...pipelines import local"),
    ],
)
def test_a_planted_violation_is_found(module, source):
    assert violations(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("components/train/step.py", "from components.common.files import digest_of"),
        ("components/train/step.py", "from . import protocol"),
        ("components/train/step.py", "from .. import common"),
        ("components/train/step.py", "import components.common.files\ncomponents.common.files.digest_of(path)"),
        ("components/train/step.py", 'TEXT = "from components import common"'),
        ("components/train/step.py", 'subprocess.run([sys.executable, "components/common/files.py"])'),
        ("pipelines/commands/demo.py", '[sys.executable, "-m", "pipelines.commands.cli"]'),
        ("components/deploy/cluster.py", 'GROUP = "serving.kserve.io"'),
        ("components/train/step.py", 'raise ValueError("the serving container is not ready")'),
    ],
)
def test_what_the_rules_allow_is_no_violation(module, source):
    assert violations(module, source) == []


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


@pytest.mark.parametrize("parts", [2, 9], ids=["packages", "modules"])
def test_there_is_no_import_cycle(parts):
    """Among packages, and among modules; imports within functions count too."""
    names = {path: ".".join(Path(name_of(path)).with_suffix("").parts) for path in MODULES}
    edges = {".".join(name.split(".")[:parts]): set() for name in names.values()}
    for path, name in names.items():
        here = ".".join(name.split(".")[:parts])
        for imported in imports(path) & set(names.values()):
            edges[here] |= {".".join(imported.split(".")[:parts])} - {here}
    assert list(graphlib.TopologicalSorter(edges).static_order())


def missing_names(path: Path) -> list[str]:
    """Names that a file imports from our modules, inside functions too, and that are not there."""
    tree = ast.walk(ast.parse(path.read_text()))
    named = [node for node in tree if isinstance(node, ast.ImportFrom) and not node.level and node.module]
    ours = [node for node in named if node.module.split(".")[0] in (*PACKAGES, *NOT_INSTALLED)]
    return [f"{node.module}.{one.name}" for node in ours for one in node.names if not is_there(node.module, one.name)]


def is_there(package: str, name: str) -> bool:
    """Whether a package holds a module of this name, or a module defines it."""
    path = ROOT / package.replace(".", "/")
    inside = path / name
    return inside.is_dir() or inside.with_suffix(".py").is_file() or name in defined_in(path.with_suffix(".py"))


@functools.cache
def defined_in(path: Path) -> set[str]:
    """Names that a file binds anywhere, by assignment, definition or import."""
    nodes = list(ast.walk(ast.parse(path.read_text()))) if path.is_file() else []
    imported = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {(alias.asname or alias.name).split(".")[0] for node in imported for alias in node.names}
    names |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    return names | {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def test_every_name_that_is_imported_exists():
    """In functions, benchmarks and slow tests too, which nothing else imports at every change."""
    files = [path for folder in (*PACKAGES, *NOT_INSTALLED) for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 400
    assert [f"{path.relative_to(ROOT)}: {name}" for path in files for name in missing_names(path)] == []


def test_a_name_that_is_gone_is_found(tmp_path):
    (tmp_path / "a.py").write_text("def f():\n    from components.model.network import gone, as_vector\n")
    assert missing_names(tmp_path / "a.py") == ["components.model.network.gone"]


def test_component_modules_import_only_kfp_and_the_image_at_their_top():
    allowed = set(sys.stdlib_module_names) | {"kfp"}
    for path in ROOT.glob("components/*/component.py"):
        names = imports(path, top_level_only=True)
        ours = {name for name in names if name.startswith("components")}
        assert ours == {"components.common.image", "components.common.image.PIPELINE_IMAGE"}, name_of(path)
        assert {name.split(".")[0] for name in names - ours} <= allowed, name_of(path)


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
    entries = [line for line in LOCK.splitlines() if not line.startswith("    --hash=sha256:")]
    assert [line for line in entries if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*==\S+( ; .*)? \\", line)] == []
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
