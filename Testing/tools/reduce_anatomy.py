"""Reduce nilearn's copy of the ICBM152 anatomy to what ships in Resources/anatomy.

    pip download --no-deps nilearn==0.14.1 && unzip -q nilearn-*.whl -d wheel
    python Testing/tools/reduce_anatomy.py wheel/nilearn/datasets/data Resources/anatomy

Each map is masked to the brain (T1 above 0), cropped to it with one voxel to spare, and rounded to every
third grey level, which saves a third of the file. The same input gives the same bytes.
"""

import gzip
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

LEVELS = 3  # grey levels of 255 that become one
SCALE = {
    "t1": LEVELS,
    "gm": LEVELS / 255,
    "wm": LEVELS / 255,
}  # T1 in grey levels, the others as probabilities


def main(source: Path, target: Path) -> None:
    images = {n: nib.load(source / f"mni_icbm152_{n}_tal_nlin_sym_09a_converted.nii.gz") for n in SCALE}
    maps = {name: np.asarray(image.dataobj) for name, image in images.items()}
    brain = maps["t1"] > 0
    found = np.argwhere(brain)
    low, high = np.maximum(found.min(0) - 1, 0), np.minimum(found.max(0) + 2, brain.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    affine = images["t1"].affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    for name, voxels in maps.items():
        reduced = np.where(brain, np.rint(voxels / LEVELS), 0).astype(np.uint8)
        reduced[brain & (reduced == 0)] = name == "t1"  # T1 above 0 marks the brain: keep it so
        image = nib.Nifti1Image(reduced[box], affine)
        image.header.set_slope_inter(SCALE[name], 0)
        image.header.set_xyzt_units("mm")
        (target / f"icbm152_{name}.nii.gz").write_bytes(gzip.compress(image.to_bytes(), 9, mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
