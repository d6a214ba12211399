"""The main job on an embedded subject: an axial T1 and a coronal T2 of 4 mm slices become isotropic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.metrics import psnr
from mrinr.pictures import middle, panel, plane_axis, slice_image
from mrinr.superres import Reconstruction, reconstruct
from mrinr.volume import Stack, Volume, write

if TYPE_CHECKING:
    from PIL import Image

    from mrinr.simulation import Anatomy, Subject

THICKNESS = 4.0  # mm
NOISE = 0.01  # of the brain's 99.9th percentile
SEED = 0  # this draw's contrasts come close to those of the tissue table's own values
ORIENTATIONS = {"T1": "axial", "T2": "coronal"}
POSE = ((6.0, -4.0, 5.0), (1.3, -0.4, 0.7))  # degrees and mm by which the head lies askew in the scanner
FROM_THE_MIDDLE = 0.16  # of the brain's width: the sagittal plane drawn misses the gap between the halves
PICTURE_HEIGHT = 260  # pixels


def run(
    out: Path,
    context: Context | None = None,
    device: str = "auto",
    threads: int | None = None,
    head: Anatomy | None = None,
    seed: int = SEED,
) -> dict[str, Any]:
    """Simulate, reconstruct, judge, and draw.

    Writes to `out`: <contrast>_input, _cubic, _sr and _truth.nii.gz and demo.png. Returns {"files",
    "picture", "method", "reason", "psnr": {contrast: {"cubic", "result"}}}; PSNR in dB in the brain, the
    range is the truth's 99.9th percentile there. `head` is ICBM152 unless given; `seed` draws its tissue,
    lesions and noise.

    Raises InputError when `out` cannot be written, Cancelled after Cancel.
    """
    context = context or Context()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made; choose another folder.") from error
    subject, stacks = _scan(head, seed, context.stage(0, 0.1))
    context.progress(0.1, "Cubic interpolation, to compare with")
    # The stacks share the scanner's axes and nobody moved, so the headers can be trusted.
    options: dict[str, Any] = {"device": device, "threads": threads, "seed": seed, "register": "off"}
    cubic = reconstruct(stacks, method="cubic", context=context.quiet(), **options)
    result = reconstruct(stacks, method="auto", context=context.stage(0.12, 0.95), **options)
    context.progress(0.95, "Comparing with the truth")
    return _judge(out, subject, stacks, cubic, result)


def _scan(head: Anatomy | None, seed: int, context: Context) -> tuple[Subject, list[Stack]]:
    """The 0.5 mm truth, on axes askew to the scanner's, and the stacks that the scanner made of it."""
    from mrinr.simulation import acquire, bounding_grid, icbm, rotation, simulate_subject, slice_grid

    head = (head or icbm()).moved(rotation(*POSE))
    subject = simulate_subject(
        head, list(ORIENTATIONS), seed=seed, lesions="ms", spacing=0.5, context=context
    )
    field = bounding_grid(subject.brain)
    stacks = []
    for number, (contrast, orientation) in enumerate(ORIENTATIONS.items()):
        context.progress(1.0, f"Scanning {contrast}")
        grid = slice_grid(field, orientation, THICKNESS)
        seen = acquire(
            subject.volumes[contrast],
            grid,
            THICKNESS,
            noise=NOISE,
            scale=subject.scale(contrast),
            seed=seed + number,
        )
        stacks.append(Stack(seen, contrast, 2, THICKNESS))
    return subject, stacks


def _judge(
    out: Path, subject: Subject, stacks: list[Stack], cubic: Reconstruction, result: Reconstruction
) -> dict[str, Any]:
    from mrinr.simulation import average

    grid = result.volumes[stacks[0].contrast].grid
    mask = average(subject.brain, grid).voxels > 0.5
    corners = grid.world(np.argwhere(mask)[:: max(1, mask.sum() // 10000)])
    point = corners.mean(axis=0) - [FROM_THE_MIDDLE * np.ptp(corners[:, 0]), 0, 0]
    files, scores, rows, captions = [], {}, [], []
    for stack in stacks:
        name = stack.contrast
        truth = average(subject.volumes[name], grid)
        shown = {
            "input": stack.volume,
            "cubic": cubic.volumes[name],
            "sr": result.volumes[name],
            "truth": truth,
        }
        for kind, volume in shown.items():
            files.append(str(out / f"{name}_{kind}.nii.gz"))
            write(volume, files[-1])
        peak = float(np.percentile(truth.voxels[mask], 99.9))
        before, after = (psnr(truth.voxels, shown[kind].voxels, mask, peak) for kind in ("cubic", "sr"))
        scores[name] = {"cubic": before, "result": after}
        low, high = np.percentile(truth.voxels[mask], [1, 99])
        rows.append([_sagittal(volume, point, (0.4 * low, high)) for volume in shown.values()])
        captions.append(
            [
                f"{name}: {stack.orientation} slices of {THICKNESS:g} mm\nas acquired",
                f"cubic interpolation\n{before:.1f} dB",
                f"MRINR ({result.report['method']})\n{after:.1f} dB",
                "truth\n1 mm",
            ]
        )
    title = "Two thick-slice scans of one head, reconstructed together (simulated; PSNR in the brain)"
    picture = out / "demo.png"
    panel(rows, captions, title).save(picture)
    return {
        "files": files,
        "picture": str(picture),
        "method": result.report["method"],
        "reason": result.report["reason"],
        "psnr": scores,
    }


def _sagittal(volume: Volume, point: np.ndarray, window: tuple[float, float]) -> Image.Image:
    axis = plane_axis(volume, "sagittal")
    return slice_image(volume, axis, middle(volume, axis, point), window, PICTURE_HEIGHT)
