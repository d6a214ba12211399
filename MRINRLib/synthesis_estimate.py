"""What a synthesis will bring and how long it will take, said before it starts."""

from __future__ import annotations

from slicer.i18n import tr as _

from MRINRLib import nodes
from MRINRLib.engine import workerThreads
from MRINRLib.job_controls import duration
from MRINRLib.models import Models
from MRINRLib.synthesis_job import Request

# Seconds of one processor core, measured with the compact models: for a megapixel of a slice at 1 mm, and
# that for each input; then for starting, and for aligning an input.
PIXELS = {"multimodal": (1.5, 1.7), "local-inr": (3.5, 0.0), "pix2pix": (3.5, 0.0)}
START, ALIGN = 5.0, 8.0
HEAD = 0.6  # of the field of view, which is what is worked on


def expectation(request: Request, models: Models) -> str:
    """Grid and time in a line."""
    grid = nodes.geometryFromNode(request.likeNode).grid
    return _("{target}: {shape} voxels of {spacing} mm, in the place of {like}; about {time}").format(
        target=request.target,
        shape=" x ".join(str(n) for n in grid.shape),
        spacing=" x ".join(f"{mm:.3g}" for mm in grid.spacing),
        like=request.likeNode.GetName(),
        time=duration(seconds(request, models)),
    )


def seconds(request: Request, models: Models) -> float:
    """Time on this computer's processor; a GPU is faster."""
    bundle = models.chosen(request.model, list(request.inputs), request.target)
    once, each = PIXELS[bundle.architecture] if bundle is not None else (0.0, 0.0)
    grid = nodes.geometryFromNode(request.likeNode).grid
    volume = float((grid.spacing * grid.shape).prod())  # mm3
    megapixels = HEAD * volume / max(1.0, float(grid.spacing.max())) / 1e6
    others = len(request.inputs) - 1 if request.register == "auto" else 0
    return START + ALIGN * others + megapixels * (once + each * len(request.inputs)) / workerThreads()
