"""What the README shows exists: commands, messages, files, and the code blocks as far as they can be read."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

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
