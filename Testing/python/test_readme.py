"""What the README shows exists: commands, messages, files, and the code blocks as far as they can be read."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mrinr import bundles
from mrinr.cli import COMMANDS as KNOWN
from mrinr.cli import parser
from mrinr.superres import METHODS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")}


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def sentences() -> Iterator[str]:
    """Every string in the product's sources, with … for what is filled in."""
    for folder in ("mrinr", "MRINRLib", "MRINRSuperRes", "MRINRSynthesis", "ContrastCRL"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield re.sub(r"\{\w*(:[^}]*)?\}", "…", node.value)


COMMANDS = [
    line for block in blocks(README, "sh") for line in block.splitlines() if line.startswith("mrinr ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line):
    parser().parse_args(shlex.split(line)[1:])


def test_every_command_has_an_example():
    shown = {line.split()[1] for line in COMMANDS}
    assert shown == set(KNOWN)


def test_messages_are_those_of_the_program():
    said = set(sentences())
    rows = [
        line.split(" | ")[0] for line in section("Troubleshooting").splitlines() if line.startswith("| `")
    ]
    assert len(rows) > 15
    for message in re.findall(r"`([^`]+)`", " ".join(rows)):
        pattern = ".*".join(re.escape(part.strip()) for part in message.split("…"))
        assert any(re.search(pattern, sentence) for sentence in said), message


def test_every_method_is_explained():
    named = re.findall(
        r"`([\w-]+)`", "\n".join(line.split(" | ")[0] for line in section("Methods").splitlines())
    )
    assert set(METHODS) <= set(named)


def test_every_model_that_ships_is_named():
    named = re.findall(r"^\| `([\w-]+)` \|", section("Models of synthesis"), re.MULTILINE)
    assert {bundle.name for bundle in bundles.shipped()} <= set(named)


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)\)", PAGES[page]):
        assert target.startswith("https://") or (ROOT / target).is_file(), target


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_can_be_read(page):
    for block in blocks(PAGES[page], "python"):
        ast.parse(re.sub(r"^   ", "", block, flags=re.MULTILINE) if block.startswith("   ") else block)


# Tutorials ------------------------------------------------------------------------------------------

MODULES = ("MRINRSuperRes", "MRINRSynthesis", "ContrastCRL")
SLICERS_OWN = {
    "PyTorch",
    "Sample Data",
    "Edit > Application Settings > Modules > Additional module paths",
    "MRINR",
}


def tutorials() -> list[str]:
    """The steps of each module's tutorial, in the order of MODULES."""
    found = README.split("\n**Tutorial**\n")[1:]
    assert len(found) == len(MODULES)
    return [text.split("\n**Python console**\n")[0] for text in found]


def on_screen(module: str) -> set[str]:
    """What a module's panel shows: texts of its .ui file, and what it and MRINRLib translate or name."""
    form = ElementTree.parse(ROOT / module / "Resources" / "UI" / f"{module}.ui").getroot()
    texts = {node.text or "" for node in form.iter("string")}
    for path in [ROOT / module / f"{module}.py", *(ROOT / "MRINRLib").glob("*.py")]:
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        texts |= {
            node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    return {text.strip().rstrip(":…").rstrip() for text in texts}


@pytest.mark.parametrize("number", range(3), ids=MODULES)
def test_tutorials_use_the_words_of_the_panel(number):
    text, known = re.sub(r"\s+", " ", tutorials()[number]), on_screen(MODULES[number])
    quoted = set(re.findall(r"\*\*([^*]+)\*\*", text)) | set(re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", text))
    assert len(quoted) > 8
    menu = f"Image Synthesis > {next(t for t in known if t.endswith('(MRINR)'))}"
    missing = {q for q in quoted if q.rstrip(":…").rstrip() not in known | SLICERS_OWN | {menu}}
    assert missing == set()


def test_tutorials_use_the_sample_data_that_are_registered():
    source = (ROOT / "MRINRLib" / "sample_data.py").read_text(encoding="utf-8")
    registered = set(re.findall(r'"(MRINR\w+)"', source.split("THREE_SEQUENCES =")[1].splitlines()[0]))
    assert len(registered) == 2
    for text in tutorials():
        named = set(re.findall(r"`(MRINR(?!SuperRes|Synthesis)\w+)`", text))
        assert len(named) == 1 and named <= registered
