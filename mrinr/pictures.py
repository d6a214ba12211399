"""Slices of volumes as pictures, and pictures side by side with captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mrinr.geometry import AXIS_NAMES
from mrinr.volume import Volume

BACKGROUND, INK, FAINT = (0, 0, 0), (235, 235, 235), (150, 150, 150)
GAP = 10  # pixels between pictures
# World axes (R, A, S) that a plane shows across and down, and whether they grow to the left and upwards.
VIEWS = {0: ((1, True), (2, True)), 1: ((0, True), (2, True)), 2: ((0, True), (1, True))}


def window(volume: Volume, mask: np.ndarray | None = None) -> tuple[float, float]:
    """(black, white) for `slice_image`: 0 and a bit above the 99.5th percentile, in the mask if given."""
    values = volume.voxels[mask] if mask is not None else volume.voxels[volume.voxels > 0]
    return 0.0, 1.05 * float(np.percentile(values, 99.5)) if values.size else 1.0


def slice_image(
    volume: Volume,
    axis: int,
    index: int,
    window: tuple[float, float],
    height: int | None = None,
    smooth: bool = False,
) -> Image.Image:
    """One plane of `volume` in grey, as radiologists see it: patient's right and front to the left, head up.

    Parameters
    ----------
    axis : voxel axis that the plane is perpendicular to (0, 1, 2)
    index : which plane along it
    window : intensities shown black and white
    height : pixels; as many as there are voxels when None. Voxels keep their proportions in mm
    smooth : interpolate between voxels; otherwise each is a rectangle
    """
    plane = np.take(volume.voxels, index, axis=axis)
    across, down, sizes = _oriented(volume, axis)
    if across[0] < down[0]:
        plane = plane.T  # rows are what goes down
    plane = plane[:: -1 if down[1] else 1, :: -1 if across[1] else 1]
    low, high = window
    grey = np.clip((plane - low) / max(high - low, 1e-9), 0, 1) * 255
    image = Image.fromarray(np.ascontiguousarray(np.rint(grey).astype(np.uint8)))
    extent = np.array(plane.shape) * sizes  # mm down, across
    scale = height / extent[0] if height else 1 / min(sizes)
    size = (max(1, round(extent[1] * scale)), max(1, round(extent[0] * scale)))
    return image.resize(size, Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST)


def _oriented(volume: Volume, axis: int) -> tuple[tuple[int, bool], tuple[int, bool], tuple[float, float]]:
    """The voxel axes that go across and down (and whether backwards), and a voxel's mm down and across."""
    directions = volume.grid.directions
    world = int(np.abs(directions[:, axis]).argmax())
    rest = [a for a in range(3) if a != axis]
    across, down = VIEWS[world]
    # Of the two axes in the plane the one nearer to the world axis shown across goes across.
    a = max(rest, key=lambda n: abs(directions[across[0], n]))
    d = rest[1 - rest.index(a)]
    flip_a = (directions[across[0], a] > 0) == across[1]
    flip_d = (directions[down[0], d] > 0) == down[1]
    return (a, bool(flip_a)), (d, bool(flip_d)), (float(volume.spacing[d]), float(volume.spacing[a]))


def middle(volume: Volume, axis: int, point: np.ndarray | None = None) -> int:
    """Index along `axis` of the plane through `point` (RAS mm), or through the middle of the volume."""
    if point is None:
        return volume.voxels.shape[axis] // 2
    index = np.linalg.inv(volume.affine) @ [*np.asarray(point, dtype=float), 1.0]
    return int(np.clip(round(index[axis]), 0, volume.voxels.shape[axis] - 1))


def plane_axis(volume: Volume, plane: str) -> int:
    """The voxel axis nearest to perpendicular to "sagittal", "coronal" or "axial" planes."""
    return int(np.abs(volume.grid.directions[AXIS_NAMES.index(plane)]).argmax())


def panel(
    rows: Sequence[Sequence[Image.Image]], captions: Sequence[Sequence[str]], title: str
) -> Image.Image:
    """Pictures in rows, a caption under each (lines separated by a newline) and a title on top."""
    big, small = ImageFont.load_default(22), ImageFont.load_default(16)
    line = 20
    columns = max(len(row) for row in rows)
    widths = [max(row[c].width for row in rows if c < len(row)) for c in range(columns)]
    lines = [max(text.count("\n") + 1 for text in row) for row in captions]
    heights = [max(image.height for image in row) + n * line + 8 for row, n in zip(rows, lines, strict=True)]
    title_width = int(big.getlength(title)) + 2 * GAP
    size = (max(sum(widths) + GAP * (columns + 1), title_width), sum(heights) + GAP * (len(rows) + 1) + 34)
    sheet = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), title, INK, big)
    top = GAP + 34
    for row, texts, height, count in zip(rows, captions, heights, lines, strict=True):
        left = GAP
        for image, text, width in zip(row, texts, widths, strict=False):
            sheet.paste(image.convert("RGB"), (left + (width - image.width) // 2, top))
            below = top + height - count * line - 4
            for n, words in enumerate(text.split("\n")):
                place = (left + width // 2, below + n * line)
                draw.text(place, words, INK if n == 0 else FAINT, small, anchor="ma")
            left += width + GAP
        top += height + GAP
    return sheet
