"""The extension as CMake and the Extensions Index see it. The index's rules are those of its own checks
(Slicer/ExtensionsIndex, scripts/check_description_files.py) and of Slicer's schema 1.0.2."""

from __future__ import annotations

import ast
import json
import re
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
INDEX = json.loads((ROOT / "MRINR.json").read_text(encoding="utf-8"))
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
MODULES = sorted(path.stem for path in ROOT.glob("*/*.py") if path.stem == path.parent.name)
# What Slicer has from the start; everything else a module file must import in a function.
FROM_THE_START = {"ctk", "numpy", "qt", "scipy", "SimpleITK", "slicer", "vtk"}
OURS = {"mrinr", "MRINRLib"}
# The one statement that module files share: in a checkout the shared packages lie one folder up.
FIND_PACKAGES = """
if importlib.util.find_spec('MRINRLib') is None:
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
""".strip()

# Stands in for Slicer's CMake package: does what its macros do with files, and says which.
SLICER = """
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/use.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/empty.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/empty.cmake")
set(Slicer_FOUND TRUE)
set(BUILD_TESTING ON)
"""
USE = """
include(CMakeParseArguments)
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  foreach(file ${MY_SCRIPTS} ${MY_RESOURCES})
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "${MY_NAME} names ${file}, which does not exist")
    endif()
    install(CODE "message(\\"FILE ${MY_NAME} ${file}\\")")
    get_filename_component(folder "${file}" DIRECTORY)
    install(FILES "${CMAKE_CURRENT_SOURCE_DIR}/${file}" DESTINATION "modules/${folder}")
  endforeach()
endmacro()
macro(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT}")
    message(FATAL_ERROR "test ${MY_SCRIPT} does not exist")
  endif()
  message(STATUS "TEST ${MY_SCRIPT}")
endmacro()
"""


def metadata(name: str) -> str:
    """The one quoted string that the index looks for."""
    found = re.findall(rf'set\s*\({name}\s*"([^"]+)"[ ]*\)', CMAKE)
    assert len(found) == 1, name
    return found[0]


def in_repository(url: str) -> Path:
    """The file of ours that a raw address of the default branch leads to."""
    prefix = INDEX["scm_url"].removesuffix(".git").replace("github.com", "raw.githubusercontent.com")
    assert url.startswith(f"{prefix}/{INDEX['scm_revision']}/"), url
    return ROOT / url.removeprefix(f"{prefix}/{INDEX['scm_revision']}/")


def test_the_index_entry_obeys_slicers_schema():
    assert INDEX["$schema"].endswith("Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert {"$schema", "category", "scm_url"} <= INDEX.keys()
    texts = {
        "$schema",
        "category",
        "scm_url",
        "scm_revision",
        "scm_type",
        "build_subdirectory",
        "dicom_support_rule",
    }
    assert INDEX.keys() <= texts | {"build_dependencies", "enabled", "tier"}  # no other properties
    assert all(isinstance(INDEX[key], str) for key in INDEX.keys() & texts)
    assert all(isinstance(each, str) for each in INDEX["build_dependencies"])
    assert type(INDEX["tier"]) is int and 1 <= INDEX["tier"] <= 5


def test_the_index_entry_obeys_the_rules_of_the_index():
    url = urlsplit(INDEX["scm_url"])
    assert url.scheme in ("git", "https") and url.netloc
    name = Path(url.path).stem
    assert name.startswith("Slicer") and name == "SlicerMRINR"
    assert INDEX["category"] == "Image Synthesis"
    project = re.findall(r"project\s*\(\s*([^\s)]+)", CMAKE)
    assert project[0] == "MRINR" and not project[0].lower().startswith("slicer")
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").lstrip().startswith("Apache License")
    # names that would clash on Windows or macOS, and what a checkout weighs
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode == 0 and tracked.stdout:
        names = tracked.stdout.splitlines()
        assert len({each.lower() for each in names}) == len(names)
        assert sum((ROOT / each).stat().st_size for each in names if (ROOT / each).is_file()) < 50e6


def test_cmake_says_the_same_as_the_index():
    assert re.findall(r"set\(EXTENSION_DEPENDS ([^)]*)\)", CMAKE)[0].split() == INDEX["build_dependencies"]
    assert metadata("EXTENSION_HOMEPAGE") == INDEX["scm_url"].removesuffix(".git")
    assert metadata("EXTENSION_CONTRIBUTORS") and len(metadata("EXTENSION_DESCRIPTION")) > 50
    icon = in_repository(metadata("EXTENSION_ICONURL"))
    assert icon.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", icon.read_bytes()[16:24]) == (128, 128)


def test_every_module_has_its_screenshot_in_the_catalogue():
    shots = [in_repository(url) for url in metadata("EXTENSION_SCREENSHOTURLS").split()]
    for path in shots:
        assert path.suffix == ".png" and path.read_bytes()[:4] == b"\x89PNG", path
    drawn = {name for name in MODULES if (ROOT / "Resources" / "Screenshots" / f"{name}.png").is_file()}
    assert drawn <= {path.stem for path in shots}


def test_modules_have_their_files_and_category():
    for name in MODULES:
        assert f"add_subdirectory({name})" in CMAKE, name
        source = (ROOT / name / f"{name}.py").read_text(encoding="utf-8")
        assert '"Image Synthesis"' in source, name
        for path in (
            f"Resources/Icons/{name}.png",
            f"Resources/UI/{name}.ui",
            "Testing/Python/CMakeLists.txt",
        ):
            assert (ROOT / name / path).is_file(), path


def doings(path: Path) -> list[str]:
    """The statements of a file that do something when it is loaded, besides importing and naming."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        text = ast.unparse(node)
        if isinstance(
            node, (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.Assign, ast.AnnAssign)
        ):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
            continue
        if (
            not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
            and text != FIND_PACKAGES
        ):
            found.append(f"{path.name}:{node.lineno}: {text}")
    return found


def test_nothing_that_slicer_loads_does_anything_when_it_is_loaded():
    paths = [ROOT / name / f"{name}.py" for name in MODULES] + sorted((ROOT / "MRINRLib").rglob("*.py"))
    assert [line for path in paths for line in doings(path)] == []


@pytest.mark.parametrize("path", [f"{name}/{name}.py" for name in MODULES])
def test_module_files_hold_the_four_classes_in_order_and_call_nothing_at_file_scope(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    calls = [
        ast.unparse(inner.func)
        for node in tree.body
        if isinstance(node, ast.Assign)
        for inner in ast.walk(node.value)
        if isinstance(inner, ast.Call)
    ]
    assert set(calls) <= {"WithinRange"}  # part of a type
    kinds = [node.name.removeprefix(Path(path).stem) for node in tree.body if isinstance(node, ast.ClassDef)]
    assert [kind for kind in kinds if kind in ("", "Widget", "Logic", "Test")] == [
        "",
        "Widget",
        "Logic",
        "Test",
    ]


@pytest.mark.parametrize("path", [f"{name}/{name}.py" for name in MODULES])
def test_module_files_import_only_what_slicer_has_and_our_own(path):
    import sys

    names = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    assert names <= FROM_THE_START | OURS | set(sys.stdlib_module_names)
    assert "SimpleITK" not in names and "torch" not in names


@pytest.fixture(scope="module")
def configured(tmp_path_factory) -> tuple[Path, str]:
    """The installed folder and what CMake said."""
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("no cmake")
    top = tmp_path_factory.mktemp("cmake")
    (top / "Slicer").mkdir()
    for name, text in (("SlicerConfig", SLICER), ("use", USE), ("empty", "")):
        (top / "Slicer" / f"{name}.cmake").write_text(text)
    configure = [cmake, "-S", str(ROOT), "-B", str(top / "build"), f"-DSlicer_DIR={top / 'Slicer'}"]
    said = ""
    for line in (configure, [cmake, "--install", str(top / "build"), "--prefix", str(top / "there")]):
        done = subprocess.run(line, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said += done.stdout + done.stderr
    return top / "there" / "modules", said


def test_cmake_configures_and_every_file_it_names_exists(configured):
    _, said = configured
    tests = set(re.findall(r"TEST (\S+)", said))
    assert {f"{name}.py" for name in MODULES} | {f"{name}PanelTest.py" for name in MODULES} <= tests


def test_no_file_of_one_module_overwrites_anothers(configured):
    _, said = configured
    files = [name for _, name in re.findall(r"FILE (\S+) (\S+)", said)]
    assert len(files) > 100
    assert [name for name, count in Counter(map(str.lower, files)).items() if count > 1] == []


def test_the_installed_folder_holds_all_that_modules_need_and_nothing_for_tests(configured):
    there, _ = configured
    for package in ("mrinr", "MRINRLib"):
        ours = {p.relative_to(ROOT) for p in (ROOT / package).rglob("*.py")}
        assert ours == {p.relative_to(there) for p in (there / package).rglob("*.py")}
    for name in MODULES:
        for path in (f"{name}.py", f"Resources/UI/{name}.ui", f"Resources/Icons/{name}.png"):
            assert (there / path).is_file(), path
    for folder in ("anatomy", "bundles"):
        ours = {p.relative_to(ROOT) for p in (ROOT / "Resources" / folder).rglob("*") if p.is_file()}
        assert ours == {
            p.relative_to(there) for p in (there / "Resources" / folder).rglob("*") if p.is_file()
        }
    assert not (there / "Testing").exists() and not list(there.rglob("conftest.py"))


def test_the_proofs_that_contributing_names_exist():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page.split("## Slicer's rules")[1].split("\n## ")[0]))
    files = (ROOT / "Testing" / "python").glob("test_*.py")
    tests = "".join(path.read_text(encoding="utf-8") for path in files)
    assert len(named) > 40
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []
