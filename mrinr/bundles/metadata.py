"""configs/metadata.json: what is in it, and that nothing else is believed.

MONAI Bundle Specification (docs.monai.io, mb_specification) and its schema of 2024-07-25; what MRINR needs
beyond that is under "mrinr", hashes are under "files".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from importlib import metadata as installed
from pathlib import Path, PurePosixPath
from typing import Any

import mrinr
from mrinr.errors import InputError
from mrinr.files import read_bytes

METADATA, WEIGHTS, CARD, LICENSE = (
    "configs/metadata.json",
    "models/model.safetensors",
    "docs/README.md",
    "LICENSE",
)
FORMAT = 1  # of what is under "mrinr"; a later one is refused
ARCHITECTURES = {  # name in the metadata: module and class; metadata can name nothing else
    "multimodal": "mrinr.synthesis.multimodal:Multimodal",
    "local-inr": "mrinr.synthesis.local_inr:LocalINR",
    "pix2pix": "mrinr.synthesis.pix2pix:Pix2Pix",
    "brain": "mrinr.synthesis.brain:BrainMask",
    "recogniser": "mrinr.synthesis.recogniser:Recogniser",
    "intensities": "mrinr.synthesis.intensities:IntensityMap",
    "crl": "mrinr.contrast.network:ContrastRepresentation",
    "prior": "mrinr.superres.prior_network:PlanePrior",
}
LOOKERS = {  # these look at any input, find what is listed here, and predict no image of a sequence
    "brain": ("brain",),
    "recogniser": ("sequence", "orientation"),
    "intensities": ("intensities",),
}
RESTORERS = ("prior",)  # these make any image sharper than it is
TIMED = ("crl",)  # these take and make images of any times, which lie in a box of TR, TE and TI in ms
SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
LEAST_MONAI = "1.5.0"  # said where MONAI is not installed, as when fine-tuning in Slicer

TEXT, NUMBER, WHOLE, OBJECT = "text", "a number", "a whole number", "an object"
NAME, NAMES, SIZES = "a name", "a list of different names", "a list of positive numbers"
MONAI = {
    **dict.fromkeys(("schema", "version", "monai_version", "pytorch_version", "numpy_version"), TEXT),
    **dict.fromkeys(("task", "description", "authors", "copyright"), TEXT),
    **dict.fromkeys(("changelog", "required_packages_version", "optional_packages_version"), OBJECT),
    "network_data_format": OBJECT,
}
FACTS = {
    "inputs": NAMES,
    "targets": NAMES,
    "spacing_mm": SIZES,
    "normalisation": OBJECT,
    "training": OBJECT,
    "metrics": OBJECT,
    "calibration": OBJECT,
    "statistics": OBJECT,
    "intended_use": TEXT,
}
TRAINING = {
    "data": TEXT,
    "licence": TEXT,
    "command": TEXT,
    "seed": WHOLE,
    "steps": WHOLE,
    "hours": NUMBER,
    "hardware": TEXT,
}


def read(folder: Path) -> dict[str, Any]:
    """The metadata of a model folder. Raises InputError, one sentence, when anything in them is wrong."""
    path = folder / METADATA
    if not path.is_file():
        raise InputError(
            f"{folder} is no model: it has no {METADATA}; name the folder that contains configs."
        )
    data = read_bytes(path)
    try:
        found = json.loads(data.decode(), parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no readable JSON ({error}); copy the model again.") from error
    return check(found, str(path))


def compose(
    architecture: str, arguments: Mapping[str, Any], facts: Mapping[str, Any], files: Mapping[str, str]
) -> dict[str, Any]:
    """Metadata from what is known; raises InputError when the facts have the wrong types."""
    try:
        plain = json.loads(json.dumps({**facts, "arguments": dict(arguments)}, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"The facts about the model cannot be written as JSON ({error}).") from error
    ours = {"format": FORMAT, "architecture": architecture, **plain}
    _check_ours(ours, "the new model's metadata")
    inputs, targets = ours["inputs"], ours["targets"]
    found = {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": ours["training"]["command"]},
        "monai_version": _version("monai") or LEAST_MONAI,
        "pytorch_version": _version("torch"),
        "numpy_version": _version("numpy"),
        "required_packages_version": {"mrinr": mrinr.__version__, "safetensors": _version("safetensors")},
        "optional_packages_version": {},
        "task": f"{', '.join(targets)} from {', '.join(inputs)}",
        "description": ours["intended_use"],
        "intended_use": ours["intended_use"],
        "authors": "The MRINR authors",
        "copyright": "The MRINR authors",
        "network_data_format": {
            "inputs": {name: _tensor(name) for name in inputs},
            "outputs": {name: _tensor(name) for name in targets},
        },
        "mrinr": ours,
        "files": dict(files),
    }
    return check(found, "the new model's metadata")


def check(found: Any, where: str) -> dict[str, Any]:
    """`found` when it is what this version can trust, else InputError with one sentence."""
    if not isinstance(found, dict):
        raise InputError(f"{where} holds no JSON object; copy the model again.")
    _check_types(found, {**MONAI, "mrinr": OBJECT, "files": OBJECT}, where, "")
    _check_ours(found["mrinr"], where)
    _check_files(found["files"], where)
    return found


def _check_ours(ours: dict[str, Any], where: str) -> None:
    _check_types(ours, {"format": WHOLE}, where, "mrinr.")
    if ours["format"] != FORMAT:
        raise InputError(
            f"{where} has format {ours['format']}, this version of MRINR knows format {FORMAT}; update MRINR."
        )
    _check_types(ours, {"architecture": TEXT, "arguments": OBJECT, **FACTS}, where, "mrinr.")
    _check_types(ours["training"], TRAINING, where, "mrinr.training.")
    if "taught" in ours:  # by fine-tuning, or real people among those trained on
        _check_types(ours, {"taught": NAMES}, where, "mrinr.")
    if ours["architecture"] not in ARCHITECTURES:
        raise InputError(
            f"{where} names the architecture '{ours['architecture']}', which is not known; this MRINR has "
            f"{', '.join(ARCHITECTURES)}, so update it."
        )
    if ours["architecture"] in TIMED:
        _check_box(ours, where)
    elif ours["architecture"] not in (*LOOKERS, *RESTORERS):
        for target in ours["targets"]:
            _check_scale(ours, target, where)


def _check_scale(ours: dict[str, Any], target: str, where: str) -> None:
    """What a target's brightness and uncertainty are computed from."""
    if not _are_levels(ours["normalisation"].get("levels"), {*ours["inputs"], target}):
        raise InputError(
            f"{where} does not say how bright {target} is beside each input; copy the model again."
        )
    if target in ours["calibration"] and not _is_calibration(ours["calibration"][target]):
        raise InputError(f"{where} has a calibration of {target} that cannot be used; copy the model again.")


def _are_levels(levels: Any, wanted: set[str]) -> bool:
    """As `mrinr.synthesis.levels` makes them: a mean for each name, and a row of variances."""
    if not isinstance(levels, dict) or not _is(levels.get("names"), NAMES) or wanted - {*levels["names"]}:
        return False
    count, covariance = len(levels["names"]), levels.get("covariance")
    if not isinstance(covariance, list) or len(covariance) != count:
        return False
    return all(
        isinstance(row, list) and len(row) == count and all(_is(each, NUMBER) for each in row)
        for row in (levels.get("mean"), *covariance)
    )


def _check_box(ours: dict[str, Any], where: str) -> None:
    """What times a contrast model was trained on, and what its uncertainty is computed from."""
    box = ours.get("box")
    for name in ("TR", "TE", "TI"):
        ends: Any = box.get(name) if isinstance(box, dict) else None
        if not (_is(ends, SIZES) and len(ends) == 2 and ends[0] < ends[1]):
            raise InputError(f"{where} does not say for which {name} it was trained; copy the model again.")
    if "any" in ours["calibration"] and not _is_calibration(ours["calibration"]["any"]):
        raise InputError(f"{where} has a calibration that cannot be used; copy the model again.")


def _is_calibration(table: Any) -> bool:
    """As `mrinr.synthesis.calibration` makes them: a factor for each bin between rising edges."""
    edges: Any = table.get("edges") if isinstance(table, dict) else None
    factors: Any = table.get("factors") if isinstance(table, dict) else None
    for numbers in (edges, factors):
        if not (isinstance(numbers, list) and numbers and all(_is(each, NUMBER) for each in numbers)):
            return False
    return len(factors) == len(edges) + 1 and edges == sorted(edges) and min(factors) >= 0


def _check_files(files: dict[str, Any], where: str) -> None:
    for name in (WEIGHTS, CARD, LICENSE):
        if name not in files:
            raise InputError(f"{where} has no SHA-256 for {name}; copy the model again.")
    for name, digest in files.items():
        path = PurePosixPath(name)
        odd = not name.isprintable() or "\\" in name or ":" in name
        if odd or path.is_absolute() or ".." in path.parts or not path.parts:
            raise InputError(
                f"{where} lists the file '{name}', which is outside the model's folder; do not use it."
            )
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
            raise InputError(f"{where} has no valid SHA-256 for {name}; copy the model again.")


def _check_types(found: Mapping[str, Any], wanted: Mapping[str, str], where: str, prefix: str) -> None:
    for key, kind in wanted.items():
        if key not in found:
            raise InputError(f"{where} lacks '{prefix}{key}'; copy the model again.")
        if not _is(found[key], kind):
            raise InputError(f"{where} has a '{prefix}{key}' that is not {kind}; copy the model again.")


def _is(value: Any, kind: str) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind == WHOLE:
        return whole
    if kind == NUMBER:
        return whole or isinstance(value, float)
    if kind == NAME:
        return isinstance(value, str) and re.fullmatch(r"[\w+-]+", value) is not None
    if kind in (NAMES, SIZES):
        return (
            isinstance(value, list)
            and len(value) > 0
            and all(_is(each, NAME if kind == NAMES else NUMBER) for each in value)
            and (len(set(value)) == len(value) if kind == NAMES else min(value) > 0)
        )
    return isinstance(value, {TEXT: str, OBJECT: dict}[kind]) and value != ""


def _tensor(name: str) -> dict[str, Any]:
    """MONAI's description of one slice of any size."""
    return {
        "type": "image",
        "format": "magnitude",
        "modality": "MR",
        "num_channels": 1,
        "spatial_shape": ["*", "*"],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": {"0": name},
    }


def _version(package: str) -> str:
    try:
        return installed.version(package).partition("+")[0]  # without the build
    except installed.PackageNotFoundError:
        return ""


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text} is no finite number")
    return float(text)
