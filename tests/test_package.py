"""The package as it is installed: what it lists, what it imports and what it never does."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mutoscope

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("zoo", "guides", "inference", "testing")  # each may import those before it
SOURCES = [
    ROOT / "__init__.py",
    *(p for layer in LAYERS for p in sorted((ROOT / layer).rglob("*.py"))),
]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("mutoscope", *(part for part in parts if part != "__init__")))


def imports_of(path: Path) -> set[str]:
    """Return the absolute names of the modules that a file imports, also inside functions."""
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            anchor = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*anchor, *([node.module] if node.module else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def modules_after(statement: str) -> set[str]:
    """Return what is imported after a statement in a fresh interpreter."""
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_every_package_is_listed() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = options["tool"]["setuptools"]["packages"]
    found = {name_of(path) for path in SOURCES if path.name == "__init__.py"}
    assert set(listed) == found
    assert len(listed) == len(set(listed))


def test_every_folder_of_modules_is_a_package() -> None:
    assert {p.parent for p in SOURCES} == {p.parent for p in SOURCES if p.name == "__init__.py"}


def test_type_information_is_shipped() -> None:
    assert (ROOT / "py.typed").exists()
    assert mutoscope.__version__


def test_importing_the_package_is_cheap() -> None:
    heavy = {"torch", "pyro", "arviz", "matplotlib", "lightning", "sklearn", "scipy", "xarray"}
    assert not heavy & modules_after("import mutoscope")


def test_models_import_neither_plots_nor_reports_nor_themselves_twice() -> None:
    modules = modules_after("import mutoscope.zoo, mutoscope.guides")
    assert not {"arviz", "matplotlib", "lightning", "xarray"} & modules
    assert not set(LAYERS) & modules
    assert not {m for m in modules if m.startswith("mutoscope.inference")}


def test_posteriors_are_read_and_written_without_torch() -> None:
    adapter = "mutoscope.inference.labelled, mutoscope.inference.storage, mutoscope.zoo.errors"
    assert not {"torch", "pyro", "arviz"} & modules_after(f"import {adapter}")


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_arrow_points_back(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    later = LAYERS[LAYERS.index(layer) + 1 :] if layer in LAYERS else LAYERS
    imported = imports_of(path)
    for name in later:
        assert not [m for m in imported if f"{m}.".startswith(f"mutoscope.{name}.")]
    assert not {m.split(".")[0] for m in imported} & set(LAYERS), "un-rooted import"


def test_only_transport_imports_the_solver() -> None:
    importers = [p for p in SOURCES if any(m.startswith("torchdiffeq") for m in imports_of(p))]
    assert importers == [ROOT / "zoo" / "transport.py"]


def test_only_the_bridge_imports_normflows() -> None:
    importers = [p for p in SOURCES if any(m.startswith("normflows") for m in imports_of(p))]
    assert importers == [ROOT / "zoo" / "flows" / "transform.py"]
    assert "normflows" not in modules_after("import mutoscope.zoo, mutoscope.guides")


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_is_unpickled(path: Path) -> None:
    imported = {m.split(".")[0] for m in imports_of(path)}
    assert not imported & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            assert not ast.unparse(node.func).startswith(("torch.load", "pd.read_pickle"))
            assert "allow_pickle=True" not in {ast.unparse(k) for k in node.keywords}


def test_layers_come_when_they_are_asked_for() -> None:
    assert mutoscope.zoo.SparseTransformation.__module__ == "mutoscope.zoo.sparse_transformation"
    with pytest.raises(AttributeError, match="gide"):
        _ = mutoscope.gide
