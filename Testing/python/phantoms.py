"""Objects whose images are known in closed form, and a small head for tests of whole programs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mrinr.geometry import Grid
from mrinr.volume import Stack, Volume


def grid(shape=(48, 48, 48), spacing=(1.0, 1.0, 1.0), directions=None, centre=(0.0, 0.0, 0.0)) -> Grid:
    """A grid around `centre` (RAS mm); `directions` is 3x3 with the axes as columns."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if directions is None else np.asarray(directions)) * np.asarray(spacing)
    affine[:3, 3] = np.asarray(centre) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(tuple(int(n) for n in shape), affine)


def random_directions(rng: np.random.Generator) -> np.ndarray:
    """Three orthonormal axes, left- or right-handed."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.diag(r))


@dataclass(frozen=True, eq=False)
class Waves:
    """Band-limited everywhere: offset + sum_n amplitude_n cos(2 pi f_n . x + phase_n), x in RAS mm.

    frequencies : (n, 3) cycles per mm; amplitudes, phases : (n,)
    """

    frequencies: np.ndarray
    amplitudes: np.ndarray
    phases: np.ndarray
    offset: float = 100.0

    @classmethod
    def random(cls, seed: int = 0, count: int = 12, finest: float = 6.0, contrast: float = 60.0) -> Waves:
        """`count` waves in random directions; the shortest is `finest` mm long."""
        rng = np.random.default_rng(seed)
        directions = rng.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = finest * np.geomspace(1, 6, count)
        amplitudes = np.full(count, contrast / np.sqrt(count / 2) / 3)
        return cls(directions / lengths[:, None], amplitudes, rng.uniform(0, 2 * np.pi, count))

    def image(
        self, where: Grid, thickness: float = 0.0, slice_axis: int = 2, in_plane: bool = False
    ) -> np.ndarray:
        """Exact voxels on `where`: the mean over a slice of `thickness` mm (0: its centre plane).

        With `in_plane` also over the voxel's extent along the two other axes. The mean of a cosine of
        frequency f over a box of width w is the cosine at its centre times sinc(f w).
        """
        widths = where.spacing * float(in_plane)
        widths[slice_axis] = thickness
        index = np.moveaxis(np.indices(where.shape), 0, -1)
        world = where.world(index)
        out = np.full(where.shape, self.offset)
        for f, a, p in zip(self.frequencies, self.amplitudes, self.phases, strict=True):
            through = np.prod(np.sinc((f @ where.directions) * widths))
            out += a * through * np.cos(2 * np.pi * (world @ f) + p)
        return out.astype(np.float32)


def wave_stack(waves: Waves, where: Grid, thickness: float, contrast: str = "T1") -> Stack:
    """A stack of box-profile slices (of the largest spacing's axis) of `waves`, exact."""
    axis = int(where.spacing.argmax())
    voxels = waves.image(where, thickness, axis)
    name = f"{contrast} {where.orientation(axis)}"
    return Stack(Volume(voxels, where.affine, name, {"thickness": thickness}), contrast, axis)


# Ellipsoids: centre and radii as fractions of half the head, and the intensities of two contrasts.
HEAD = (
    ((0, 0, 0), (0.90, 0.95, 0.92), 220, 140),  # scalp: the brightest tissue
    ((0, 0, 0), (0.80, 0.85, 0.82), 20, 30),  # skull
    ((0, 0, 0), (0.76, 0.81, 0.78), 60, 200),  # fluid
    ((0, 0, 0), (0.72, 0.77, 0.74), 110, 110),  # grey matter
    ((0, 0.02, 0), (0.58, 0.64, 0.60), 150, 80),  # white matter
    ((-0.18, 0.1, 0.08), (0.09, 0.32, 0.14), 50, 210),  # ventricles
    ((0.18, 0.1, 0.08), (0.09, 0.32, 0.14), 50, 210),
    ((-0.22, -0.1, -0.1), (0.14, 0.18, 0.12), 120, 100),  # thalami
    ((0.22, -0.1, -0.1), (0.14, 0.18, 0.12), 120, 100),
    ((0.35, -0.3, 0.2), (0.08, 0.06, 0.07), 100, 170),  # a lesion
)
BRAIN = 2  # the ellipsoid that holds the brain
CONTRASTS = ("T1", "T2")


def head(where: Grid, contrast: str = "T1", size: float = 60.0) -> Volume:
    """Ellipsoids like a head with its scalp, `size` mm from side to side, borders one voxel wide."""
    image, _ = _head(where, contrast, size)
    return Volume(image, where.affine, contrast)


def head_brain(where: Grid, size: float = 60.0) -> np.ndarray:
    """(the shape of `where`) bool: what is inside the skull of `head`."""
    return _head(where, "T1", size)[1]


def _head(where: Grid, contrast: str, size: float) -> tuple[np.ndarray, np.ndarray]:
    world = where.world(np.moveaxis(np.indices(where.shape), 0, -1)) / (size / 2)
    step = float(where.spacing.min()) / (size / 2)
    image = np.zeros(where.shape)
    brain = np.zeros(where.shape, bool)
    for number, (centre, radii, *values) in enumerate(HEAD):
        distance = (1 - np.linalg.norm((world - centre) / np.array(radii), axis=-1)) * min(radii)
        inside = np.clip(distance / step + 0.5, 0, 1)
        image += inside * (values[CONTRASTS.index(contrast)] - image)
        if number == BRAIN:
            brain = inside > 0.5
    return image.astype(np.float32), brain


def head_stack(
    contrast: str = "T1",
    orientation: str = "axial",
    thickness: float = 4.0,
    noise: float = 0.01,
    shape: tuple[int, int, int] = (64, 64, 64),
    seed: int = 0,
) -> Stack:
    """Thick slices of `head` at 1 mm in plane, made from a head at 0.5 mm."""
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[orientation]
    parts = np.full(3, 2)
    parts[axis] = round(2 * thickness)
    fine = head(grid(2 * np.array(shape) // parts * parts, (0.5, 0.5, 0.5)), contrast)
    return cut(fine, parts, contrast, thickness, noise, seed)


def cut(
    fine: Volume, parts: np.ndarray, contrast: str, thickness: float, noise: float, seed: int = 0
) -> Stack:
    """Average blocks of `parts` voxels of `fine`; Gaussian noise is a fraction of the maximum."""
    shape = np.array(fine.voxels.shape) // parts
    blocks = fine.voxels.reshape(shape[0], parts[0], shape[1], parts[1], shape[2], parts[2]).mean(
        axis=(1, 3, 5)
    )
    rng = np.random.default_rng(seed)
    blocks = np.abs(blocks + noise * fine.voxels.max() * rng.standard_normal(blocks.shape))
    affine = fine.affine.copy()
    affine[:3, :3] *= parts
    affine[:3, 3] = fine.grid.world((parts - 1) / 2)
    axis = int(np.argmax(parts))
    volume = Volume(blocks, affine, f"{contrast} {fine.grid.orientation(axis)}", {"thickness": thickness})
    return Stack(volume, contrast, axis)


def stacks(*pairs: tuple[str, str], **settings) -> list[Stack]:
    """stacks(("T1", "axial"), ("T2", "coronal"), thickness=4): stacks of one small head."""
    return [
        head_stack(contrast, orientation, seed=n, **settings)
        for n, (contrast, orientation) in enumerate(pairs)
    ]
