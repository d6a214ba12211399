"""What the BIDS sidecar beside an image file knows of it (BIDS 1.9, common MR metadata)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mrinr import formats

KEYS = {  # BIDS key: our key and its factor (BIDS times are in seconds, ours in ms)
    "SliceThickness": ("thickness", 1.0),
    "SpacingBetweenSlices": ("spacing_between_slices", 1.0),
    "RepetitionTime": ("TR", 1000.0),
    "EchoTime": ("TE", 1000.0),
    "InversionTime": ("TI", 1000.0),
    "MagneticFieldStrength": ("field_strength", 1.0),
}


def path_of(image: Path) -> Path:
    """T1.json for T1.nii.gz."""
    return image.with_name(formats.stem(image) + ".json")


def read(image: Path) -> dict[str, Any]:
    """`Volume.meta` from the sidecar of `image`; nothing when it is absent or no BIDS sidecar."""
    try:
        found = json.loads(path_of(image).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    meta: dict[str, Any] = {}
    for key, (ours, factor) in KEYS.items():
        value = found.get(key)
        if isinstance(value, (int, float)) and np.isfinite(value) and (value > 0 or ours == "TI"):
            meta[ours] = float(value) * factor
    if isinstance(found.get("SeriesDescription"), str):
        meta["series_description"] = found["SeriesDescription"]
    return meta
