"""A fitted representation as a file, to be evaluated on another grid without fitting again.

A zip of numpy arrays (`.npz`, never unpickled): the networks' weights, matrices in half precision, and a
header in JSON. What the weights lose by that, and what a method added to the networks (`profile_inr`), comes
back from the result itself: between its voxels, result minus networks is interpolated.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mrinr.context import Context
from mrinr.engine.device import choose as choose_device
from mrinr.engine.device import or_cpu, set_threads
from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.memory import affordable_bytes
from mrinr.superres.cubic import interpolate
from mrinr.superres.grid import check_spacing
from mrinr.superres.inr import Field, Representation, SplitHead
from mrinr.superres.irem import Irem
from mrinr.superres.multi_contrast import Vanilla
from mrinr.superres.result import Reconstruction
from mrinr.volume import Volume

NETWORKS: dict[str, type[Representation]] = {each.__name__: each for each in (SplitHead, Vanilla, Irem)}
LARGEST = 200e6  # bytes of all weights
MOST_PARTS = 100  # layers, contrasts
BYTES_A_VOXEL = 24  # of the finer grid, while it is evaluated


def pack(result: Reconstruction) -> str:
    """The fitted networks of a result in base64; empty where it has none."""
    if not result.fields:
        return ""
    arrays: dict[str, np.ndarray] = {}
    networks = []
    for number, field in enumerate(result.fields):
        networks.append(
            {
                "network": type(field.network).__name__,
                "arguments": field.network.arguments,
                "contrasts": field.contrasts,
                "centre": [float(c) for c in field.centre],
            }
        )
        for key, value in field.network.state_dict().items():
            array = value.cpu().numpy()
            is_matrix = array.ndim == 2 and not key.endswith(".B")
            arrays[f"{number}/{key}"] = array.astype(np.float16) if is_matrix else array
    first = next(iter(result.volumes.values()))
    header = {
        "networks": networks,
        "affine": first.affine.tolist(),
        "shape": list(first.voxels.shape),
        "contrasts": {
            name: {key: facts[key] for key in ("unit", "limits")}
            for name, facts in result.report["contrasts"].items()
        },
    }
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, header=np.array(json.dumps(header)), **arrays)
    return base64.b64encode(file.getvalue()).decode("ascii")


@dataclass(eq=False)
class Fitted:
    """What `pack` has kept."""

    fields: list[Field]
    grid: Grid
    contrasts: dict[str, dict[str, Any]]

    def resample(self, result: Volume, contrast: str, spacing: float, context: Context) -> Volume:
        """The result of a contrast at another isotropic spacing (mm), wherever its volume lies meanwhile.

        Raises InputError where the result is not the one of this fit, or memory does not suffice.
        """
        mm = check_spacing(spacing)
        fields = [field for field in self.fields if contrast in field.contrasts]
        if not fields or contrast not in self.contrasts or result.voxels.shape != self.grid.shape:
            raise InputError(
                f"Refit needed: {result.name} is not the volume that was fitted, it may have been cropped or "
                "resampled; reconstruct it again."
            )
        finer = self.grid.with_spacing((mm, mm, mm))
        if finer.size * BYTES_A_VOXEL > affordable_bytes():
            raise InputError(
                f"{mm:g} mm makes {finer.size / 1e6:.0f} million voxels, more than memory can hold; choose a "
                "coarser spacing."
            )
        unit, (low, high) = self.contrasts[contrast]["unit"], self.contrasts[contrast]["limits"]
        coarse = _mean(fields, contrast, self.grid, context.stage(0.0, 0.3)) * unit
        correction = torch.from_numpy(np.array(result.voxels, np.float32)) - coarse
        fine = _mean(fields, contrast, finer, context.stage(0.3, 0.95)) * unit
        values = (fine + interpolate(correction, self.grid, finer)[0]).clamp(low, high)
        moved = result.affine @ np.linalg.inv(self.grid.affine)
        return Volume(values.numpy(), moved @ finer.affine, result.name, result.meta)


def unpack(text: str, device: torch.device) -> Fitted:
    """Raises InputError for anything that `pack` has not written."""
    try:
        data = io.BytesIO(base64.b64decode(text.encode("ascii"), validate=True))
        with zipfile.ZipFile(data) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
                raise ValueError("too large")
        with np.load(data, allow_pickle=False) as found:
            arrays = {key: found[key] for key in found.files}
        header = json.loads(str(arrays.pop("header")))
        fields = [_field(number, facts, arrays, device) for number, facts in enumerate(header["networks"])]
        i, j, k = (int(n) for n in header["shape"])
        grid = Grid((i, j, k), np.array(header["affine"], float))
        return Fitted(fields, grid, header["contrasts"])
    except (binascii.Error, UnicodeError, zipfile.BadZipFile, OSError) as error:
        raise _unreadable() from error
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise _unreadable() from error


def _field(
    number: int, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray], device: torch.device
) -> Field:
    sizes = [facts["arguments"].get(name, 0) for name in ("layers", "contrasts")]
    if max(sizes) > MOST_PARTS:
        raise ValueError("too many parts")
    with torch.device("meta"):  # takes no memory, whatever widths the header claims
        network = NETWORKS[facts["network"]](**facts["arguments"])
    own = {key.partition("/")[2]: value for key, value in arrays.items() if key.startswith(f"{number}/")}
    state = {
        key: torch.from_numpy(value.astype(np.float32) if value.dtype == np.float16 else value)
        for key, value in own.items()
    }
    network.load_state_dict(state, assign=True)
    network.to(device)
    return Field(network, [str(name) for name in facts["contrasts"]], np.array(facts["centre"], float))


def _mean(fields: list[Field], contrast: str, grid: Grid, context: Context) -> torch.Tensor:
    total = torch.zeros(grid.shape)
    for number, field in enumerate(fields):
        context.progress(number / len(fields), "Evaluating the fitted network")
        total += field.on(grid, context)[contrast].cpu()
    return total / len(fields)


def _unreadable() -> InputError:
    return InputError("Refit needed: what was saved of the fit cannot be read; reconstruct again.")


def run(
    volumes: dict[str, Volume], parameters: dict[str, Any], context: Context
) -> tuple[dict[str, Volume], dict[str, Any]]:
    """The engine's task: "result" at another spacing.

    parameters: fitted (of `pack`), contrast, spacing in mm, device, threads
    """
    set_threads(parameters.get("threads"))

    def work(kind: str) -> tuple[Volume, str]:
        device, line = choose_device(kind)
        fitted = unpack(parameters["fitted"], device)
        made = fitted.resample(volumes["result"], parameters["contrast"], parameters["spacing"], context)
        return made, line

    made, line = or_cpu(work, parameters.get("device", "auto"), context)
    return {"result": made}, {"device": line, "shape": list(made.voxels.shape)}
