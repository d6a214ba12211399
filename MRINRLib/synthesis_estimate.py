"""What a synthesis will bring, said before it starts."""

from __future__ import annotations

from slicer.i18n import tr as _

from MRINRLib import nodes
from MRINRLib.synthesis_job import Request


def expectation(request: Request) -> str:
    """The grid of the result in a line."""
    grid = nodes.geometryFromNode(request.likeNode).grid
    shape = " x ".join(str(n) for n in grid.shape)
    spacing = " x ".join(f"{mm:.3g}" for mm in grid.spacing)
    return _("{target}: {shape} voxels of {spacing} mm, in the place of {like}").format(
        target=request.target, shape=shape, spacing=spacing, like=request.likeNode.GetName()
    )
