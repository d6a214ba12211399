"""How the contrast model learns: its losses, what it is shown, and what is kept unseen."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from mrinr.contrast.network import VARIANTS, ContrastRepresentation
from mrinr.contrast.scale import PERCENTS
from mrinr.simulation.sequences import SEQUENCES
from mrinr.simulation.signal import Sequence
from mrinr.training.contrast import consistency, terms
from mrinr.training.contrast_sequences import APART, UNSEEN, distance, draw, in_box, plain, seen
from mrinr.training.contrast_slices import Contrasts

T1_WEIGHTED, T2_WEIGHTED, FLAIR = (plain(SEQUENCES[name]) for name in ("T1", "T2", "FLAIR"))


def times(*played: Sequence) -> torch.Tensor:
    return torch.tensor([[each.TR, each.TE, each.TI] for each in played])


def test_structural_consistency_is_the_correlation_and_has_a_gradient_where_nothing_varies():
    a = torch.randn(2, 3, 8, 8)
    assert float(consistency([a, 3 * a + 1])) == pytest.approx(0, abs=1e-4)
    assert float(consistency([a, -a])) == pytest.approx(2, abs=1e-4)
    flat = torch.zeros(2, 3, 8, 8, requires_grad=True)
    consistency([flat, flat * 2]).backward()
    assert torch.isfinite(flat.grad).all()


def test_nothing_is_drawn_near_the_sequences_kept_unseen():
    for name in UNSEEN:
        unseen = plain(SEQUENCES[name])
        assert not seen(unseen)
        for TR, TE in product((0.86, 1.14), (0.86, 1.14)):
            assert not seen(Sequence(unseen.TR * TR, unseen.TE * TE))
        assert seen(Sequence(unseen.TR, unseen.TE * (1.01 + APART)))
        assert seen(Sequence(unseen.TR, unseen.TE, 1000))  # with inversion it is another sequence
    rng = np.random.default_rng(0)
    drawn = [draw(rng, bool(n % 2)) for n in range(2000)]
    assert all(in_box(each) and each.TE_last is None for each in drawn)
    assert min(distance(each, SEQUENCES[name]) for each in drawn for name in UNSEEN) > APART
    assert 0.3 < np.mean([each.TI > 0 for each in drawn]) < 0.7


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_part_of_the_network_learns_from_a_batch(variant):
    torch.manual_seed(0)
    network = ContrastRepresentation(variant, width=8, blocks=2, features=40, hidden=16, atoms=12)
    names = ("source 1", "source 2")
    image = torch.rand(1, 1, 12, 12)
    batch = Contrasts(
        seen=dict.fromkeys(names, image),
        clean={"target 1": image, "target 2": 2 * image},
        times={**dict.fromkeys(names, times(T2_WEIGHTED)),
               "target 1": times(FLAIR), "target 2": times(T1_WEIGHTED)},
        levels=dict.fromkeys(names, torch.full((1, len(PERCENTS)), 0.1)),
        ratio=dict.fromkeys(names, torch.ones(1, 1, 1, 1)),
        gain=torch.ones(1, 1, 1, 1),
        brain=torch.ones_like(image),
        lesions=torch.zeros_like(image),
    )  # fmt: skip
    sum(terms(network, batch).values()).backward()
    idle = [
        name for name, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()
    ]
    assert idle == []
