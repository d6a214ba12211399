"""Who may import whom, and what Slicer loads before anybody presses Apply."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOST = {"slicer", "qt", "ctk", "vtk", "vtkmodules", "MRMLCorePython", "PySide6", "PythonQt"}
# What Slicer may lack until a person has agreed to install it (its SimpleITK may be missing, too).
MISSING = [
    "torch", "SimpleITK", "nibabel", "safetensors", "psutil", "monai", "accelerate", "skimage", "pydicom",
]  # fmt: skip

FOUNDATION = {
    f"mrinr.{name}"
    for name in (
        "acquisition", "context", "contrasts", "degrade", "errors", "files", "formats", "geometry",
        "intensity", "interrupts", "itk", "memory", "metrics", "perceptual", "pictures", "provenance",
        "registration", "resources", "through_plane", "volume",
    )
} | {"mrinr"}  # fmt: skip
# package: what it may import besides itself and the foundation
ABOVE = {
    "mrinr.bundles": set(),
    "mrinr.contrast": {
        "mrinr.bundles", "mrinr.engine.cache", "mrinr.engine.device", "mrinr.simulation", "mrinr.synthesis",
    },
    "mrinr.engine": set(),
    "mrinr.simulation": set(),
    "mrinr.superres": {"mrinr.bundles", "mrinr.engine.device"},
    "mrinr.synthesis": {"mrinr.bundles", "mrinr.engine.device"},
    "mrinr.training": {
        "mrinr.bundles", "mrinr.contrast", "mrinr.engine.device", "mrinr.simulation", "mrinr.superres",
        "mrinr.synthesis",
    },
    "mrinr.report": {"mrinr.superres"},
    "mrinr.demo": {"mrinr.superres", "mrinr.simulation"},
    "mrinr.benchmark": {
        "mrinr.bundles", "mrinr.contrast", "mrinr.engine.device", "mrinr.superres", "mrinr.simulation",
        "mrinr.synthesis", "mrinr.training",
    },
    "mrinr.commands": {
        "mrinr.benchmark", "mrinr.bundles", "mrinr.contrast", "mrinr.demo", "mrinr.engine", "mrinr.report",
        "mrinr.simulation", "mrinr.superres", "mrinr.synthesis", "mrinr.training",
    },
    "mrinr.cli": {"mrinr.commands", "mrinr.engine"},
    "mrinr.__main__": {"mrinr.cli"},
    "MRINRLib": {
        "mrinr.bundles", "mrinr.contrast", "mrinr.engine", "mrinr.simulation", "mrinr.superres",
        "mrinr.synthesis",
    },
}  # fmt: skip
# These know the methods; everything else in superres is a method or shared by methods and knows none of them.
CONDUCTORS = {
    f"mrinr.superres.{name}"
    for name in ("auto", "estimate", "fitted", "methods", "pipeline", "result", "task")
} | {"mrinr.superres"}


def files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def exists(module: str) -> bool:
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or in a function; not what only type checkers see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ignored = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in ignored:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path} has a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if exists(inner) else node.module)
    return found


def belongs(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def run(code: str, hidden: list[str]) -> str:
    """Run code in a fresh Python in which the packages `hidden` are not installed; its output."""
    start = f"""
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.split(".")[0] in {hidden!r} else find(name, *rest)
)
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "Testing")!r}]
"""
    done = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_backend_never_imports_slicer_or_qt():
    guilty = [(module_name(path), name) for path in files("mrinr") for name in imports(path)
              if name.split(".")[0] in HOST | {"MRINRLib", "host"}]  # fmt: skip
    assert guilty == []


def test_the_backend_uses_no_package_that_it_does_not_declare():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

    def declared(key: str) -> set[str]:
        needed = re.findall(r'"([\w-]+)', project.split(f"\n{key} = [")[1].split("]")[0])
        return {{"pillow": "PIL", "scikit-learn": "sklearn"}.get(name, name) for name in needed}

    def used(paths: Iterable[Path]) -> set[str]:
        names = {name.split(".")[0] for path in paths for name in imports(path)}
        return names - sys.stdlib_module_names - {"mrinr"}

    training, cluster = set(files("mrinr/training")), {ROOT / "mrinr" / "commands" / "batch" / "cluster.py"}
    rivals = {ROOT / "mrinr" / "benchmark" / "forest.py"}
    assert used(set(files("mrinr")) - training - cluster - rivals) == declared("dependencies")
    assert used(training) - declared("dependencies") == declared("train")
    assert used(cluster) == declared("cluster")
    assert used(rivals) - declared("dependencies") == declared("benchmark")


def test_every_part_of_the_backend_imports_only_what_lies_below_it():
    guilty = []
    for path in files("mrinr", "MRINRLib"):
        name = module_name(path)
        own = next((package for package in ABOVE if belongs(name, [package])), None)
        allowed = ABOVE[own] | {own} if own else set()
        assert own or name in FOUNDATION or belongs(name, FOUNDATION - {"mrinr"}), f"{name} has no place"
        for other in imports(path):
            if not other.startswith(("mrinr", "MRINRLib")):
                continue
            if not (other == "mrinr" or belongs(other, allowed) or belongs(other, FOUNDATION - {"mrinr"})):
                guilty.append((name, other))
    assert guilty == []


def test_methods_do_not_know_who_conducts_them():
    guilty = [
        (module_name(path), other)
        for path in files("mrinr/superres")
        if module_name(path) not in CONDUCTORS
        for other in imports(path)
        if other in CONDUCTORS or belongs(other, ["mrinr.engine"])
    ]
    assert guilty == []


def test_every_method_has_a_line_for_people_a_cost_and_a_file():
    from mrinr.superres import METHODS
    from mrinr.superres.estimate import COSTS
    from mrinr.superres.methods import _SOLVERS

    assert set(METHODS) == set(COSTS) == {"auto", *_SOLVERS}
    assert [
        name for name, where in _SOLVERS.items() if not exists(f"mrinr.superres.{where.split(':')[0]}")
    ] == []


def test_modules_know_the_library_and_the_library_knows_no_module():
    modules = {path.parent.name for path in ROOT.glob("*/*.py") if path.stem == path.parent.name}
    assert "MRINRSuperRes" in modules
    guilty = [
        (path.name, name)
        for path in files("MRINRLib", *modules)
        if "Testing" not in path.parts
        for name in imports(path)
        if name in modules - {path.stem} or belongs(name, ["host"])
    ]
    assert guilty == []


def test_the_backend_loads_where_nothing_but_numpy_is_installed():
    names = ["mrinr", "mrinr.volume", "mrinr.geometry", "mrinr.context", "mrinr.errors", "mrinr.contrasts",
             "mrinr.formats", "mrinr.bundles", "mrinr.contrast", "mrinr.contrast.parameters",
             "mrinr.contrast.scale", "mrinr.contrast.search", "mrinr.superres", "mrinr.superres.estimate",
             "mrinr.synthesis",
             "mrinr.engine", "mrinr.engine.client", "mrinr.engine.device", "mrinr.cli"]  # fmt: skip
    code = f"""
import importlib
for name in {names!r}:
    importlib.import_module(name)
print([name for name in {[*MISSING, "scipy", "PIL"]!r} if name in sys.modules])
"""
    assert run(code, [*MISSING, "scipy", "PIL"]).strip() == "[]"


def test_synthesis_and_fine_tuning_load_where_only_torch_and_numpy_are_installed():
    hidden = [name for name in MISSING if name != "torch"] + ["scipy", "PIL", "accelerate"]
    code = """
import importlib
for name in ("mrinr.synthesis.task", "mrinr.synthesis.pipeline", "mrinr.training.task",
             "mrinr.contrast.task"):
    importlib.import_module(name)
print("loaded")
"""
    assert run(code, hidden).strip() == "loaded"


def test_slicer_opens_the_module_and_says_what_is_missing_before_anything_is_installed():
    for needed in ("slicer", "PySide6.QtWidgets", "PySide6.QtUiTools"):
        pytest.importorskip(needed, exc_type=ImportError)
    library = [module_name(path) for path in files("MRINRLib")]
    code = f"""
import importlib, json
import numpy as np
from host import start
slicer = start()
module = slicer.loadModule({str(ROOT / "MRINRSuperRes" / "MRINRSuperRes.py")!r})
for name in {library!r}:
    importlib.import_module(name)
parent = module.widgetRepresentation()
parent.enter()
for name, spacing in (("T1 axial", (1, 1, 4)), ("T2 coronal", (1, 4, 1))):
    voxels = np.random.default_rng(0).random([round(48 / mm) for mm in spacing][::-1])
    slicer.util.addVolumeFromArray(voxels, np.diag([*map(float, spacing), 1.0]), name)
panel = slicer.util.getModuleWidget("MRINRSuperRes")
panel.ui.fillButton.click()
said = {{"estimate": panel.ui.estimateLabel.text, "device": panel.ui.deviceLabel.text}}
panel.ui.applyButton.click()
said["apply"] = panel.ui.messageLabel.text
said["loaded"] = [name for name in {MISSING!r} if name in sys.modules]
parent.exit()
print("\\n" + json.dumps(said))
"""
    said = json.loads(run(code, MISSING).strip().splitlines()[-1])
    assert said["loaded"] == []
    assert "48 x 48 x 48" in said["estimate"]
    assert "Apply offers to install it" in said["device"]
    assert said["apply"], "Apply must say what is missing"
