"""One simulated person: anatomy, tissue and lesions turned into the signal of every sequence."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Names
from dataclasses import dataclass

import numpy as np

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.simulation.anatomy import Anatomy
from mrinr.simulation.lesions import Lesion, diseased, draw_ms
from mrinr.simulation.pathology import KINDS
from mrinr.simulation.render import MAPS, Renderer, pooling
from mrinr.simulation.sequences import named
from mrinr.simulation.signal import Sequence
from mrinr.simulation.tissue import draw_scan
from mrinr.volume import Volume


@dataclass(frozen=True, eq=False)
class Subject:
    """Ground truth, all on one grid, free of noise.

    volumes : by sequence; maps : T1map, T2map (ms) and PDmap (relative), means over the tissues of a voxel;
    brain, lesions : 0 or 1; labels : FreeSurfer numbers
    """

    volumes: dict[str, Volume]
    maps: dict[str, Volume]
    brain: Volume
    lesions: Volume
    labels: Volume
    sequences: dict[str, Sequence]
    anatomy: str
    seed: int

    def scale(self, name: str) -> float:
        """The 99.9th percentile of a volume in the brain: what noise is a fraction of."""
        return float(np.percentile(self.volumes[name].voxels[self.brain.voxels > 0.5], 99.9))


def simulate_subject(
    anatomy: Anatomy,
    sequences: Names[str] | Mapping[str, Sequence],
    seed: int = 0,
    lesions: str | list[Lesion] = "none",
    spacing: float = 1.0,
    context: Context | None = None,
) -> Subject:
    """Simulate one person on the anatomy's own axes.

    Tissues are mixed in signal, as in a scanner, at half the anatomy's voxel; coarser spacings average that.

    Parameters
    ----------
    sequences : names (see `sequences.SEQUENCES`) or Sequences by name
    seed : of tissue parameters, texture and lesions
    lesions : "none", "ms", "tumour", "stroke", or your own
    spacing : mm; half the anatomy's voxel or a whole multiple of that

    Raises InputError for an unknown sequence, unknown lesions, or a spacing that does not divide the anatomy.
    """
    wanted, context = named(sequences), context or Context()
    rng = np.random.default_rng(seed)
    scan = draw_scan(anatomy.labels.shape, rng)
    if isinstance(lesions, str):
        if lesions not in ("none", *KINDS):
            raise InputError(f"Lesions '{lesions}' are not known; use {', '.join(KINDS)} or none.")
        if lesions in ("tumour", "stroke"):
            anatomy = diseased(anatomy, lesions, rng)
        lesions = draw_ms(anatomy, rng) if lesions == "ms" else []
    renderer = Renderer(anatomy, scan, wanted, lesions, pooling(anatomy, spacing))
    bricks = renderer.bricks()
    for n, (low, high) in enumerate(bricks):
        context.progress(n / len(bricks), "Simulating")
        renderer.add(low, high)
    made = {name: Volume(image, renderer.grid.affine, name) for name, image in renderer.images.items()}
    return Subject(
        volumes={name: made[name] for name in wanted},
        maps={name: made[name] for name in MAPS},
        brain=made["brain"],
        lesions=made["lesions"],
        labels=made["labels"],
        sequences=wanted,
        anatomy=anatomy.name,
        seed=seed,
    )
