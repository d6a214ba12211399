"""A reconstruction as one self-contained HTML page: slices in three planes, the numbers, how it was made."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from mrinr.itk import resample
from mrinr.pictures import middle, slice_image, window
from mrinr.superres.result import Reconstruction
from mrinr.volume import Stack, Volume

SIDE = 260  # pixels of a picture

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em }
table { border-collapse: collapse; margin: .5em 0 1.5em }
th, td { padding: .25em .7em; text-align: left; vertical-align: top }
tr { border-bottom: 1px solid #ddd }
.pictures td { padding: 3px; border: 0; color: #555; font-size: 13px }
.pictures img { display: block; background: black }
.notice { background: #fff4d6; padding: .6em 1em; border-radius: 4px }
pre { white-space: pre-wrap; background: #f5f5f5; padding: 1em }
"""


def html(stacks: Sequence[Stack], result: Reconstruction, sources: Sequence[Mapping[str, Any]]) -> str:
    """The page: slices as acquired (nearest voxel) beside the result at the same place."""
    report = result.report
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>MRINR super-resolution</title>"
        f"<style>{STYLE}</style></head><body><h1>Super-resolution</h1>",
        "<p class='notice'>These volumes were computed from the scans below; they were not acquired at this "
        "resolution. Detail between slices is an estimate. Not for diagnosis.</p>",
        _check(report),
    ]
    for contrast, volume in result.volumes.items():
        acquired = [stack.volume for stack in stacks if stack.contrast == contrast]
        parts.append(f"<h2>{escape(contrast)}</h2>")
        parts.append(_pictures(acquired, volume, result.residuals[contrast], result.coverage[contrast]))
        parts.append(_numbers(report.get("contrasts", {}).get(contrast, {})))
    parts += [_sources(stacks, sources), _made(report), "</body></html>"]
    return "\n".join(parts)


def _check(report: Mapping[str, Any]) -> str:
    """Self-check, reason and warnings, as far as the method gives them."""
    check = report.get("self_check")
    words = check.get("text") if isinstance(check, Mapping) else check
    lines = [("Result", words), ("Method", report.get("method")), ("Why", report.get("reason"))]
    lines += [("Warning", warning) for warning in report.get("warnings", ())]
    return "".join(f"<p><b>{name}:</b> {escape(str(text))}</p>" for name, text in lines if text)


def _pictures(acquired: Sequence[Volume], result: Volume, residual: Volume, coverage: Volume) -> str:
    """A row for each plane through the middle: acquired stacks, result, residual, coverage."""
    grey = window(result, coverage.voxels > 0)
    worst = float(np.percentile(residual.voxels, 99.5)) or 1.0
    most = max(float(coverage.voxels.max()), 1.0)
    columns = [(resample(v, result.grid, order=0), grey, f"{v.name}, as acquired") for v in acquired]
    columns += [
        (result, grey, "result"),
        (residual, (0.0, worst), f"residual, white is {worst:.3g}"),
        (coverage, (0.0, most), f"coverage, white: {most:.0f} saw it"),
    ]
    rows = []
    for axis in range(3):
        cells = []
        for volume, shades, words in columns:
            picture = slice_image(volume, axis, middle(result, axis), shades)
            picture = ImageOps.contain(picture, (SIDE, SIDE), Image.Resampling.NEAREST)
            cells.append(f"<td><img alt='{escape(words)}' src='{_data_url(picture)}'>{escape(words)}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table class='pictures'>{''.join(rows)}</table>"


def _data_url(picture: Image.Image) -> str:
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _numbers(numbers: Mapping[str, Any]) -> str:
    rows = [(key.replace("_", " "), value) for key, value in numbers.items() if key != "stacks"]
    for stack in numbers.get("stacks", ()):
        words = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in stack.items() if key != "name")
        rows.append((stack["name"], words))
    return _table(rows)


def _sources(stacks: Sequence[Stack], sources: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for stack, source in zip(stacks, sources, strict=True):
        size = " x ".join(map(str, stack.volume.voxels.shape))
        spacing = " x ".join(f"{s:.3g}" for s in stack.volume.spacing)
        words = f"{stack.contrast}, {stack.orientation}, {size} voxels of {spacing} mm"
        slices = f"slices of {stack.thickness:.3g} mm, SHA-256 {source['sha256']}"
        rows.append((source["name"], f"{words}, {slices}"))
    return "<h2>Sources</h2>" + _table(rows)


def _made(report: Mapping[str, Any]) -> str:
    shown = {key: value for key, value in report.items() if key not in ("contrasts", "stacks", "warnings")}
    return f"<h2>How it was made</h2><pre>{escape(json.dumps(shown, indent=2, default=str))}</pre>"


def _table(rows: Sequence[tuple[str, Any]]) -> str:
    lines = (f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>" for name, value in rows)
    return f"<table>{''.join(lines)}</table>"
