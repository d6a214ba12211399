"""Everything that people read can be translated, in the way that Slicer's own tools extract it.

Slicer's `Utilities/Scripts/update_translations.py` turns `_("text")` into `translate(context, "text")`
and runs Qt's lupdate over sources and .ui files, which takes what is one literal.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = ("MRINRSuperRes", "MRINRSynthesis", "ContrastCRL")
SOURCES = [
    *sorted((ROOT / "MRINRLib").glob("*.py")),
    *(ROOT / name / f"{name}.py" for name in MODULES),
]
# What runs in the worker knows nothing of Slicer; its sentences are the backend's.
SOURCES = [path for path in SOURCES if not path.stem.endswith("_task")]
FORMS = [ROOT / name / "Resources" / "UI" / f"{name}.ui" for name in MODULES]
# What people see: attributes that are set, and functions that are called with it.
SHOWN = {"text", "toolTip", "title", "windowTitle", "placeholderText", "statusTip", "whatsThis", "suffix",
         "prefix", "noneDisplay", "helpText", "acknowledgementText"}  # fmt: skip
CALLED = {"setText", "setToolTip", "setTitle", "setWindowTitle", "setPlaceholderText", "setStatusTip",
          "setWhatsThis", "setSuffix", "setPrefix", "setHorizontalHeaderLabels", "setVerticalHeaderLabels",
          "addItem", "addItems", "addTab", "setTabText", "setItemText", "say", "errorDisplay", "infoDisplay",
          "warningDisplay", "messageBox", "confirmOkCancelDisplay", "confirmYesNoDisplay",
          "showStatusMessage", "InputError",
          "QPushButton", "QLabel", "QCheckBox", "QRadioButton", "QGroupBox", "QAction",
          "QTableWidgetItem", "getExistingDirectory", "getOpenFileName", "getSaveFileName", "SetXAxisTitle",
          "SetYAxisTitle", "SetTitle"}  # fmt: skip
# Words that stay as they are in every language: names of methods and columns of data, not of the panel.
NOT_WORDS = re.compile(r"[\W\d_]*|auto|cpu|cuda|mps|i|j|k|T1|T2|FLAIR|PD|T1ce|DWI|DIR|TR|TE|TI")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name_of(call: ast.AST) -> str:
    if not isinstance(call, ast.Call):
        return ""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def words(value: ast.AST) -> Iterator[str]:
    """Literal words in an expression that no `_` translates."""
    if name_of(value) in ("_", "translate", "getattr", "GetAttribute", "get", "version"):
        return
    if isinstance(value, ast.Constant):
        if isinstance(value.value, str) and not NOT_WORDS.fullmatch(value.value):
            yield value.value
        return
    if isinstance(value, (ast.Compare, ast.Subscript, ast.Lambda)):
        return  # keys and comparisons are not shown
    if isinstance(value, ast.IfExp):
        yield from words(value.body)
        yield from words(value.orelse)
        return
    for child in ast.iter_child_nodes(value):
        yield from words(child)


def shown(path: Path) -> Iterator[tuple[int, str]]:
    """Every literal in a file that goes to people untranslated, with its line."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Attribute) and target.attr in SHOWN for target in node.targets
        ):
            found = words(node.value)
        elif isinstance(node, ast.Call) and name_of(node) in CALLED:
            found = (word for argument in node.args for word in words(argument))
        else:
            continue
        yield from ((node.lineno, word) for word in found)


def translated(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            yield node


def test_the_search_finds_what_is_not_marked(tmp_path):
    path = tmp_path / "panel.py"
    path.write_text(
        'label.text = f"{n} files"\nlabel.text = _("{n} files").format(n=n)\nbox.addItems(["auto", "none"])\n'
        'label.toolTip = "" if ok else "Choose one"\nraise InputError("Wrong: " + name)\n'
    )
    assert sorted(shown(path)) == [(1, " files"), (3, "none"), (4, "Choose one"), (5, "Wrong: ")]


def test_what_people_read_is_marked_for_translation():
    found = [(path.name, line, text) for path in SOURCES for line, text in shown(path)]
    assert found == []


def test_what_is_translated_is_one_whole_literal_that_is_filled_in_afterwards():
    guilty = [
        (path.name, call.lineno)
        for path in SOURCES
        for call in translated(path)
        if len(call.args) != 1 or not (isinstance(call.args[0], ast.Constant) and call.args[0].value.strip())
    ]
    assert guilty == []
    names = [
        (path.name, call.lineno, call.args[0].value)
        for path in SOURCES
        for call in translated(path)
        if re.search(r"(?<!\{)\{\}|%[sd]", call.args[0].value)  # a translator may need another order
    ]
    assert names == []


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_forms_translate_words_and_nothing_else(form):
    """Values that the parameter node stores, and object names, must not change with the language."""
    root = ElementTree.parse(form).getroot()
    for kind in root.iter():
        for owned in kind.findall("property"):
            text = owned.find("string")
            if text is None or not (text.text or "").strip() or NOT_WORDS.fullmatch(text.text):
                continue
            fixed = text.get("notr") == "true"
            stored = owned.get("name") in ("SlicerParameterName", "objectName", "currentText")
            assert fixed == stored, (kind.get("name"), owned.get("name"), text.text)


def extracted(tool: str, files: list[Path], folder: Path) -> set[str]:
    """What lupdate finds in copies of the files, in which `_(` became `translate("context", `."""
    copies = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            text = re.sub(r"(?<![\w.])_\(", f'translate("{path.stem}", ', text)
        copies.append(folder / path.name)
        copies[-1].write_text(text, encoding="utf-8")
    out = folder / "found.ts"
    done = subprocess.run([tool, *map(str, copies), "-ts", str(out)], capture_output=True, text=True)
    assert done.returncode == 0 and out.is_file(), done.stderr
    return {node.text or "" for node in ElementTree.parse(out).getroot().iter("source")}


def test_lupdate_finds_every_string(tmp_path):
    tool = shutil.which("pyside6-lupdate") or shutil.which("lupdate")
    if tool is None:
        pytest.skip("no lupdate here (it comes with PySide6)")
    forms = {
        text.text
        for form in FORMS
        for owner in ElementTree.parse(form).getroot().iter("property")
        for text in owner.findall("string")
        if (text.text or "").strip() and text.get("notr") != "true"
    }
    assert forms <= extracted(tool, FORMS, tmp_path)
    ours = {call.args[0].value for path in SOURCES for call in translated(path)}
    assert len(ours) > 150
    missed = ours - extracted(tool, SOURCES, tmp_path)
    assert missed == set()
