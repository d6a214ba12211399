"""What the one model costs beside the paper's network (Joyce 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from mrinr.benchmark.costs import cost
from mrinr.benchmark.dedicated import WIDTH
from mrinr.benchmark.sheets import Sheet
from mrinr.bundles import Bundle
from mrinr.synthesis.multimodal import Multimodal
from mrinr.training.kinds import KINDS

PATCH = 96  # pixels along each side of what is timed
PAPERS = "the paper's network"


def costs(inputs: Sequence[str], target: str, bundle: Bundle) -> Sheet:
    """Parameters, and time and memory as ratios to the paper's network, which is not trained for that."""
    preset, _ = KINDS["multimodal"].of("paper")
    torch.manual_seed(0)
    networks = {
        PAPERS: Multimodal(inputs, [target], **preset).eval(),
        f"{bundle.name} (ships)": bundle.network(),
        "a rival trained here": Multimodal(inputs, [target], WIDTH, WIDTH).eval(),
    }
    images = {name: torch.rand(1, 1, PATCH, PATCH) for name in inputs}
    found = {name: cost(each, partial(each, images, None, target)) for name, each in networks.items()}
    sheet = Sheet(
        "What it costs",
        f"{target} from {' + '.join(inputs)}, a patch of {PATCH}x{PATCH} pixels on the CPU without training, "
        "measured in this run; time and memory (weights and the largest tensors at once) as ratios to "
        f"{PAPERS}; the model that ships knows {len(bundle.inputs)} inputs and {len(bundle.targets)} targets",
        ("network", "parameters", "time", "memory"),
    )
    first = found[PAPERS]
    for name, each in found.items():
        ratios = each.seconds / first.seconds, each.peak / first.peak
        sheet.rows.append([name, f"{each.parameters:,}", *ratios])
    return sheet
