"""What every recipe is fed with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch

PLACE_MARGIN = 1.0  # coordinates of the brain's box run from -1 to 1


@dataclass(eq=False)
class Batch:
    """Axial slices of 1 mm, rows along R, columns along A; n slices of h x w pixels, float32.

    seen : by sequence, (n, 1, h, w): inputs as a scanner and a hospital deliver them, brain's median near 1
    clean : by sequence, (n, 1, h, w): the truth, aligned with the first of `seen`, brain's median 1
    brain, lesions : (n, 1, h, w), 0 or 1
    place : (n, 2, h, w), coordinates that run from -1 to 1 over the box of the subject's brain
    motion : by sequence, (n, 3), how each of `seen` but the first was moved (see `Multimodal.align`)
    """

    seen: dict[str, torch.Tensor]
    clean: dict[str, torch.Tensor]
    brain: torch.Tensor
    lesions: torch.Tensor
    place: torch.Tensor
    motion: dict[str, torch.Tensor] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> Batch:
        moved: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            moved[each.name] = (
                {name: x.to(device) for name, x in value.items()}
                if isinstance(value, dict)
                else value.to(device)
            )
        return Batch(**moved)


def stack(slices: Sequence[dict]) -> Batch:
    """Slices (dicts with the fields of `Batch`, arrays without the axes n and channel) as one batch."""

    def joined(name: str, key: str | None = None) -> torch.Tensor:
        values = [one[name] if key is None else one[name][key] for one in slices]
        return torch.from_numpy(np.stack(values).astype(np.float32))

    first = slices[0]
    return Batch(
        seen={key: joined("seen", key)[:, None] for key in first["seen"]},
        clean={key: joined("clean", key)[:, None] for key in first["clean"]},
        brain=joined("brain")[:, None],
        lesions=joined("lesions")[:, None],
        place=joined("place"),
        motion={key: joined("motion", key) for key in first["motion"]},
    )
