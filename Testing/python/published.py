"""Small heads in the folders and under the names in which data sets of real people are published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import binary_fill_holes
from small_models import centred, head

from mrinr.volume import Volume, write

SHAPE = (72, 80, 44)
AFFINE = centred(np.diag([-1.0, -1.0, 1.0]), 1.0, SHAPE)  # as the challenges have it: L, P, S
LESION = ((0.0, 14.0, 2.0), 5.0)  # mm: where, and its radius
GAIN = {"T1": 1.0, "T2": 1.0, "FLAIR": 1.0, "PD": 0.6, "DWI": 0.9, "T1ce": 1.2, "DIR": 0.5}
# Sequences that no small head has are like these.
LIKE = {"PD": "T2", "DWI": "FLAIR", "T1ce": "T1", "DIR": "FLAIR"}
BRATS = {"T1": "t1", "T1ce": "t1ce", "T2": "t2", "FLAIR": "flair"}
LATER = {"T1": "t1n", "T1ce": "t1c", "T2": "t2w", "FLAIR": "t2f"}
ISLES = {"T1": "MR_T1.70616", "T2": "MR_T2.70617", "FLAIR": "MR_Flair.70615", "DWI": "MR_DWI.70614"}
BRATS_2015 = {"T1": "MR_T1.54513", "T1ce": "MR_T1c.54514", "T2": "MR_T2.54515", "FLAIR": "MR_Flair.54512"}
MSSEG = {"T1": "T1", "T2": "T2", "FLAIR": "FLAIR", "PD": "DP", "T1ce": "GADO"}


def person(seed: int, names: Mapping[str, str], stripped: bool) -> dict[str, Volume]:
    """By sequence of `names`, and "brain" and "lesions"; whole numbers, as scanners store."""
    rng = np.random.default_rng(seed)
    gain = rng.uniform(0.7, 1.4)
    brain = binary_fill_holes(head("brain", AFFINE, SHAPE, 0).voxels > 0.5)
    world = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    sick = np.linalg.norm(world - LESION[0], axis=-1) < LESION[1] + rng.uniform(0, 1)
    made = {"brain": brain, "lesions": sick}
    for name in names:
        clean = head(LIKE.get(name, name), AFFINE, SHAPE, 0).voxels * GAIN[name]
        clean = np.where(sick, clean * (0.8 if name == "T1" else 1.6), clean)
        noisy = (gain * (clean + rng.normal(0, 2, SHAPE))).clip(1)
        made[name] = np.rint(np.where(brain, noisy, 0) if stripped else noisy)
    return {name: Volume(np.asarray(x, np.float32), AFFINE, name) for name, x in made.items()}


def save(volume: Volume, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mha":
        image = sitk.GetImageFromArray(volume.voxels.transpose(2, 1, 0).astype(np.int16))
        image.SetOrigin((volume.affine[:3, 3] * (-1, -1, 1)).tolist())
        image.SetDirection((np.diag([-1.0, -1, 1]) @ volume.affine[:3, :3]).ravel().tolist())
        sitk.WriteImage(image, str(path))
    else:
        write(volume, path)


def brats(top: Path, count: int, year: str = "18") -> Path:
    """BraTS 2017 to 2020: HGG/Brats18_2013_1_1/Brats18_2013_1_1_t1ce.nii.gz."""
    for n in range(1, count + 1):
        name = f"{'Brats' if year == '18' else 'BraTS'}{year}_2013_{n}_1"
        made = person(n, BRATS, stripped=True)
        for key, said in {**BRATS, "lesions": "seg"}.items():
            save(made[key], top / "HGG" / name / f"{name}_{said}.nii.gz")
    return top


def brats_later(top: Path, count: int) -> Path:
    """BraTS 2023 and later: BraTS-GLI-00001-000/BraTS-GLI-00001-000-t1n.nii.gz."""
    for n in range(1, count + 1):
        made = person(n, LATER, stripped=True)
        name = f"BraTS-GLI-{n:05}-000"
        for key, said in {**LATER, "lesions": "seg"}.items():
            save(made[key], top / name / f"{name}-{said}.nii.gz")
    return top


def brats_2015(top: Path, count: int) -> Path:
    """LGG/brats_2013_pat0001_1/VSD.Brain.XX.O.MR_T1.54513/VSD.Brain.XX.O.MR_T1.54513.mha."""
    for n in range(1, count + 1):
        made = person(n, BRATS_2015, stripped=True)
        for key, said in {**BRATS_2015, "lesions": "OT.54517"}.items():
            brain = "VSD.Brain_3more" if key == "lesions" else "VSD.Brain"
            scan = f"{brain}.XX.O.{said}"
            save(made[key], top / "LGG" / f"brats_2013_pat{n:04}_1" / scan / f"{scan}.mha")
    return top


def isles(top: Path, count: int) -> Path:
    """SISS of ISLES 2015: 1/VSD.Brain.XX.O.MR_DWI.70614/VSD.Brain.XX.O.MR_DWI.70614.nii."""
    for n in range(1, count + 1):
        made = person(n, ISLES, stripped=True)
        for key, said in {**ISLES, "lesions": "OT.70618"}.items():
            scan = f"VSD.Brain.XX.O.{said}"
            save(made[key], top / f"{n}" / scan / f"{scan}.nii")
    return top


def msseg(top: Path, count: int) -> Path:
    """MSSEG 2016: Training/Center_01/Patient_01/Preprocessed_Data/FLAIR_preprocessed.nii.gz; Raw_Data."""
    for n in range(1, count + 1):
        made = person(n, MSSEG, stripped=True)
        folder = top / "Training" / "Center_01" / f"Patient_{n:02}"
        for key, said in MSSEG.items():
            save(made[key], folder / "Preprocessed_Data" / f"{said}_preprocessed.nii.gz")
            save(made[key].with_voxels(made[key].voxels + 7), folder / "Raw_Data" / f"{said}.nii.gz")
        save(made["brain"], folder / "Masks" / "Brain_Mask.nii.gz")
        save(made["lesions"], folder / "Masks" / "Consensus.nii.gz")
    return top


def ixi(top: Path, count: int) -> Path:
    """IXI-T1/IXI001-Guys-0828-T1.nii.gz, heads as scanned."""
    for n in range(1, count + 1):
        made = person(n, {"T1": "T1", "T2": "T2", "PD": "PD"}, stripped=False)
        for key in ("T1", "T2", "PD"):
            save(made[key], top / f"IXI-{key}" / f"IXI{n:03}-Guys-0828-{key}.nii.gz")
    return top


def clinical(top: Path, count: int) -> Path:
    """A hospital's MS patients: pat01/pat01_3D_DIR.nii.gz and pat01_3D_FLAIR.nii.gz, stripped."""
    for n in range(1, count + 1):
        made = person(n, {"DIR": "3D_DIR", "FLAIR": "3D_FLAIR"}, stripped=True)
        for key, said in {"DIR": "3D_DIR", "FLAIR": "3D_FLAIR", "lesions": "lesions"}.items():
            save(made[key], top / f"pat{n:02}" / f"pat{n:02}_{said}.nii.gz")
    return top
