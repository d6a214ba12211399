"""Volume and Stack: voxels that never travel without their geometry. Reading and writing them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mrinr.errors import InputError
from mrinr.geometry import Grid, check_affine


@dataclass(frozen=True, eq=False)
class Volume:
    """One scalar MR volume.

    voxels : (i, j, k) float32
    affine : 4x4, index to RAS millimetres of voxel centres
    name : what a person calls it, used in messages
    meta : what is known of it (thickness, TR, TE, TI in mm and ms, provenance, ...)

    Raises InputError when the array is not 3D or the geometry is singular or sheared.
    """

    voxels: np.ndarray
    affine: np.ndarray
    name: str = "volume"
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        voxels = np.asarray(self.voxels)
        if voxels.ndim != 3:
            raise InputError(
                f"{self.name} has {voxels.ndim} dimensions; one 3D volume is needed, so extract one first."
            )
        object.__setattr__(self, "voxels", np.asarray(voxels, dtype=np.float32))
        object.__setattr__(self, "affine", check_affine(self.affine, self.name))

    @property
    def grid(self) -> Grid:
        shape = self.voxels.shape
        return Grid((shape[0], shape[1], shape[2]), self.affine)

    @property
    def spacing(self) -> np.ndarray:
        return self.grid.spacing

    def with_voxels(self, voxels: np.ndarray, name: str | None = None) -> Volume:
        return replace(self, voxels=voxels, name=self.name if name is None else name)

    def moved(self, rigid: np.ndarray) -> Volume:
        """The same voxels after a rigid motion (4x4, RAS to RAS millimetres)."""
        return replace(self, affine=np.asarray(rigid) @ self.affine)


def check_image(volume: Volume) -> None:
    """Raise InputError unless `volume` can be an input: finite, not constant, at least 8 voxels in plane."""
    bad = int((~np.isfinite(volume.voxels)).sum())
    if bad:
        raise InputError(
            f"{volume.name} has {bad} voxels that are not finite numbers; replace them, for example by 0."
        )
    if volume.voxels.size == 0 or float(volume.voxels.min()) == float(volume.voxels.max()):
        raise InputError(f"{volume.name} is constant: it holds no image; choose another volume.")
    if min(volume.voxels.shape) < 2:
        raise InputError(f"{volume.name} is a single slice; a stack of at least two is needed.")
    if sorted(volume.voxels.shape)[1] < 8:
        raise InputError(
            f"{volume.name} has {'x'.join(map(str, volume.voxels.shape))} voxels, too few for an image."
        )


@dataclass(frozen=True, eq=False)
class Stack:
    """A volume acquired as slices.

    contrast : stacks of equal contrast are reconstructed into one volume
    slice_axis : 0, 1 or 2 (i, j, k); None takes the axis of the largest spacing
    thickness : slice thickness in mm; None takes it from meta, else the slice spacing
    profile : 'box', 'gaussian', 'point', or 'auto' (decided from the data where it can be, else box)
    """

    volume: Volume
    contrast: str = "MR"
    slice_axis: int | None = None
    thickness: float | None = None
    profile: str = "auto"

    def __post_init__(self) -> None:
        if self.slice_axis is None:
            object.__setattr__(self, "slice_axis", int(np.argmax(self.volume.spacing)))
        if self.slice_axis not in (0, 1, 2):
            raise InputError(
                f"The slice axis of {self.volume.name} must be 0, 1 or 2, not {self.slice_axis}."
            )
        if self.thickness is None:
            thickness = self.volume.meta.get("thickness") or self.volume.spacing[self.slice_axis]
            object.__setattr__(self, "thickness", float(thickness))
        if not np.isfinite(self.thickness) or self.thickness <= 0:  # type: ignore[arg-type,operator]
            raise InputError(f"The slice thickness of {self.volume.name} must be above 0 mm.")
        if self.profile not in ("auto", "box", "gaussian", "point"):
            raise InputError(f"The slice profile '{self.profile}' is not known; use box, gaussian or point.")

    @property
    def orientation(self) -> str:
        """'axial', 'coronal' or 'sagittal'."""
        assert self.slice_axis is not None
        return self.volume.grid.orientation(self.slice_axis)


def read(path: str | Path) -> Volume:
    """Read NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr) or a DICOM series (a folder or one of its files).

    Raises InputError with one sentence for anything that is not one readable 3D volume.
    """
    from mrinr.formats import read as read_any

    return read_any(Path(path))


def write(volume: Volume, path: str | Path) -> None:
    """Write NIfTI or NRRD, by the name's ending; complete or not at all.

    Raises InputError when the ending is not known or the folder cannot be written.
    """
    from mrinr.formats import write as write_any

    write_any(volume, Path(path))
