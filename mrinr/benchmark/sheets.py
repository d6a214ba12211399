"""Results of a benchmark with several tables, as text for the terminal and as a Markdown page."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Sheet:
    """One table: `head` names the columns; `note` says what its numbers are; numbers or words in `rows`."""

    title: str
    note: str
    head: Sequence[str]
    rows: list[Sequence[str | float | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Claim:
    """What a paper says, and what became of it: "reproduced here", "not reproduced", "not testable here"."""

    claim: str
    verdict: str
    why: str


def results(
    name: str,
    title: str,
    paper: str,
    data: str,
    sheets: Sequence[Sheet],
    claims: Sequence[Claim],
    remarks: Sequence[str],
    **more: Any,
) -> dict[str, Any]:
    """What results.json holds."""
    return {
        "benchmark": name,
        "title": title,
        "paper": paper,
        "data": data,
        "hardware": hardware(),
        "remarks": list(remarks),
        "tables": [asdict(sheet) for sheet in sheets],
        "claims": [asdict(claim) for claim in claims],
        **more,
    }


def hardware() -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU only"
    machine = platform.processor() or platform.machine()
    return f"{machine}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {device}"


def as_text(found: dict[str, Any]) -> str:
    """The tables, one below the other."""
    lines = [found["title"], f"Data: {found['data']}", f"Hardware: {found['hardware']}", *found["remarks"]]
    for table in found["tables"]:
        lines += ["", f"{table['title']} ({table['note']})", *_aligned([table["head"], *_cells(table)])]
    lines += ["", *(f"{c['claim']}: {c['verdict']}. {c['why']}" for c in found["claims"])]
    return "\n".join(lines)


def as_page(found: dict[str, Any], command: str) -> str:
    """The same in Markdown, with what the paper says."""
    lines = [f"# {found['title']}", "", f"In the paper: {found['paper']}", ""]
    lines += [f"- Data: {found['data']}", f"- Hardware: {found['hardware']}"]
    lines += [f"- Made by `{command}` in {found['cpu_seconds']} CPU-seconds", *_listed(found["remarks"])]
    if found["claims"]:
        lines += ["", "## What the paper claims", ""]
    lines += [f"- {c['claim']}: **{c['verdict']}**. {c['why']}" for c in found["claims"]]
    for table in found["tables"]:
        lines += ["", f"## {table['title']}", "", table["note"], "", _row(table["head"])]
        lines += [_row(["---"] * len(table["head"])), *map(_row, _cells(table))]
    pictures = {found["picture"]: found["picture_text"]} if found.get("picture") else {}
    for file, words in {**pictures, **found.get("pictures", {})}.items():
        lines += ["", f"![{words}]({file})", "", words]
    return "\n".join([*lines, ""])


def _cells(table: dict[str, Any]) -> list[list[str]]:
    def cell(value: str | float | None) -> str:
        if value is None:
            return ""
        return value if isinstance(value, str) else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"

    return [[cell(value) for value in row] for row in table["rows"]]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _listed(lines: Sequence[str]) -> list[str]:
    return [f"- {line}" for line in lines]
