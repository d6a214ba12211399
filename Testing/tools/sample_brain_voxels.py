"""How Resources/anatomy/brain_voxels.npz was made: which tissues lie in voxels of brains, from label maps.

python Testing/tools/sample_brain_voxels.py LABEL_MAP...
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from mrinr.simulation.heads import ALL_TISSUES, draw_head
from mrinr.training.simulated import Person
from mrinr.volume import read

DRAWS, SLICES, PER_SLICE = 2, 20, 25  # of each map
OUT = Path(__file__).parents[2] / "Resources" / "anatomy" / "brain_voxels.npz"


def main(paths: list[Path]) -> None:
    rng = np.random.default_rng(0)
    brains = []
    for path in paths:
        for _ in range(DRAWS):
            person = Person(draw_head(read(path), rng, lesions="any"), rng)
            voxels = []
            for level in rng.choice(person.levels, SLICES):
                at = [np.arange(n) for n in person.head.brain.shape[:2]]
                fractions = person.fractions(level, at, 1)
                i, j = np.nonzero(person.head.brain[:, :, level])
                some = rng.choice(len(i), PER_SLICE, replace=False)
                voxels.append(fractions[:, i[some], j[some]].T)
            brains.append(np.concatenate(voxels))
    shares = np.rint(255 * np.stack(brains)).astype(np.uint8)
    np.savez_compressed(OUT, shares=shares, tissues=np.array(ALL_TISSUES))
    print(OUT, shares.shape, OUT.stat().st_size)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
