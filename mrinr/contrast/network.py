"""The contrast representation model (CRL, MICCAI 2024): one encoder, any TR, TE and TI out.

A residual encoder maps an image and its times to common features, which a target's times modulate and a
coordinate-wise MLP decodes. `variant` says how:

- "attention", as the paper: the features attend to tokens of the source's times (several, else attention is
  the same everywhere), channels are multiplied by the target's embedding, an MLP gives the image.
- "modulation": the MLP gives each voxel shares of tissue atoms, which have a learned T1 and T2; the target's
  times modulate each share by the atom's closed-form signal. Whatever a voxel may consist of, its expected
  signal is such a mixture, so every setting of the sliders obeys the signal equation.

Beyond the paper: features of several sources are averaged by learned confidence, atoms and shares are
corrected by what was measured (`relaxometry.py`, `evidence.py`), and the decoder gives the ends of a 90 %
interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from mrinr.contrast.scale import BRIGHT, DARKEST, NOMINAL, PERCENTS
from mrinr.errors import InputError
from mrinr.simulation.tissue import TISSUES
from mrinr.synthesis.prediction import Prediction

VARIANTS = ("modulation", "attention")
GROUP = 5  # channels of features that share one confidence, which is the last of them
HEADS = 8
JOINED = 64  # channels where detail joins context
SHORTEST, LONGEST = (200.0, 20.0), (6000.0, 2500.0)  # T1, T2 in ms that an atom can have
KNOWN = 64  # channels of what is known of a scan as a whole
LEVELS = 4.0  # what deviations of percentiles are multiplied by, to be numbers of about 1
FARTHEST = 0.5  # that a tissue's signal can be from the table's, as a logarithm
SHARPNESS = 4.0  # of the edges by which the encoder sees what lies above and below a tissue's signal
LEAST = 1e-12  # proton density, which may be divided by
LARGEST_GAIN = 2.0  # of a channel, as a logarithm


class Atoms(NamedTuple):
    """Substances of which voxels are mixtures: (atoms,) T1 and T2 in ms, PD relative to the network's."""

    T1: torch.Tensor
    T2: torch.Tensor
    PD: torch.Tensor

    def signals(self, times: torch.Tensor) -> torch.Tensor:
        """(n, atoms) under `times` (n, 3)."""
        return attained(times, self.T1, self.T2) * self.PD


class Measured(NamedTuple):
    """What the scans of a subject say of it as a whole: their times (scans, 3), and its atoms."""

    times: torch.Tensor
    atoms: Atoms


class ContrastRepresentation(nn.Module):
    """Images of any times to an image of any other.

    Parameters
    ----------
    variant : one of `VARIANTS`
    width, blocks : of the residual encoder (the paper's 256 and 32)
    features : channels that are kept of a scan, a multiple of GROUP; also of HEADS for "attention"
    stride : how much coarser the encoder's blocks are than the image (the paper's 1)
    residual : what each block's output is multiplied by
    dilated : dilations 1, 2, 4, 8, 4, 2, ... of the blocks, for context at little cost
    hidden, layers : of the coordinate-wise MLP
    atoms : tissue atoms
    """

    def __init__(
        self,
        variant: str = "modulation",
        width: int = 48,
        blocks: int = 6,
        features: int = 40,
        stride: int = 2,
        residual: float = 0.3,
        dilated: bool = True,
        hidden: int = 64,
        layers: int = 3,
        atoms: int = 32,
    ) -> None:
        super().__init__()
        if variant not in VARIANTS or features % GROUP or min(width, blocks, features, stride, layers) < 1:
            raise InputError(f"A contrast model is {' or '.join(VARIANTS)} with sizes of at least 1.")
        self.variant, self.channels = variant, features
        self.times = Times()
        self.encoder = Encoder(self.times, width, blocks, features, stride, residual, dilated)
        if variant == "attention":
            self.attention = ToTimes(self.times, features)
            self.decoder: nn.Module = Multiplied(self.times, features, hidden, layers)
        else:
            self.decoder = Mixture(self.times, features, hidden, layers, atoms)
        self.apply(_start)
        self.fusion = Fusion(features // GROUP)

    def encode(
        self,
        image: torch.Tensor,
        times: torch.Tensor,
        levels: torch.Tensor | None = None,
        kept: tuple[Any, ...] = (...,),
    ) -> torch.Tensor:
        """Features (n, features, h, w) of images (n, 1, h, w) on the physical scale (see `scale.gain`).

        times : (n, 3), TR, TE, TI in ms, TI 0 for none
        levels : (n, percentiles), `scale.Scale.levels` of the whole brain; None for a brain as usual
        kept : the index of the pixels whose features are wanted; all
        """
        if levels is None:
            levels = image.new_zeros(len(image), len(PERCENTS))
        found = self.encoder(image, times, levels, kept)
        return self.attention(found, times) if self.variant == "attention" else found

    def fuse(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Features of several scans of one subject, on the scale of the first; of one, its own."""
        return features[0] if len(features) == 1 else self.fusion(features)

    def decode(self, features: torch.Tensor, times: torch.Tensor) -> Prediction:
        """The image at `times` (n, 3) and its interval, on the physical scale; each voxel by itself."""
        return self.decoding(features)(times)

    def decoding(
        self,
        features: torch.Tensor,
        measured: Measured | None = None,
        weights: torch.Tensor | None = None,
    ) -> Callable[[torch.Tensor], Prediction]:
        """`decode` of the same features for several times, with what is common to them done once.

        measured, weights : what scans say beyond the features, for the "modulation" variant, of all voxels
            (see `relaxometry`) and of each (see `evidence`; (n, scans, h, w) here)
        """
        features = features.float() if features.dtype == torch.float16 else features
        return self.decoder(features) if measured is None else self.decoder(features, measured, weights)

    def moments(self, features: torch.Tensor, measured: Measured) -> tuple[torch.Tensor, torch.Tensor]:
        """What voxels may give in the scans: means (n, scans), covariances (n, scans, scans).

        features : (n, channels), of the "modulation" variant, whose atoms are the possibilities
        """
        amounts = self.amounts(features)
        gains = measured.atoms.signals(measured.times)
        mean = amounts @ gains.T
        square = torch.einsum("nk,ak,bk->nab", amounts, gains, gains) * amounts.sum(1)[:, None, None]
        return mean, square - mean[:, :, None] * mean[:, None]

    def atoms(self) -> Atoms:
        """Those of people as they were in training, of the "modulation" variant."""
        assert isinstance(self.decoder, Mixture)
        return self.decoder.atoms()

    def amounts(self, features: torch.Tensor) -> torch.Tensor:
        """How much of each atom (n, atoms) there is in voxels with these features (n, channels)."""
        assert isinstance(self.decoder, Mixture)
        return self.decoder.mixture(features.T[None, :, None])[1][0, :, 0].T


def split(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values (..., groups, GROUP - 1, h, w) and confidence (..., groups, 1, h, w) of features."""
    grouped = features.unflatten(-3, (-1, GROUP))
    return grouped[..., :-1, :, :], grouped[..., -1:, :, :]


def attained(times: torch.Tensor, T1: torch.Tensor, T2: torch.Tensor) -> torch.Tensor:
    """(n, k) signals under `times` (n, 3) of substances with T1, T2 (k,) in ms and PD 1 (signal.py)."""
    TR, TE, TI = (each[:, None].float() for each in times.unbind(1))
    recovery = torch.exp(-(TR - 2 * TE).clamp_min(0) / T1)
    inverted = (1 - 2 * torch.exp(-TI / T1) + recovery).abs()
    return torch.where(TI > 0, inverted, 1 - recovery) * torch.exp(-TE / T2)


class Times(nn.Module):
    """What is known of a sequence before any image: its times, and how bright each tissue is."""

    T1: torch.Tensor
    T2: torch.Tensor
    PD: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        for n, name in enumerate(("T1", "T2", "PD")):
            values = torch.tensor([tissue[n] for tissue in TISSUES.values()])
            self.register_buffer(name, values, persistent=False)
        self.names = list(TISSUES)
        self.width = 5 + len(TISSUES)

    def tissues(self, times: torch.Tensor) -> torch.Tensor:
        """(n, tissues) signals of the tissues of the 3 T table."""
        return attained(times, self.T1, self.T2) * self.PD

    def expected(self, times: torch.Tensor) -> torch.Tensor:
        """(n, 1), as `scale.expected`."""
        return self._of(times, NOMINAL).mean(1, keepdim=True).clamp_min(DARKEST)

    def brightest(self, times: torch.Tensor) -> torch.Tensor:
        """(n, 1), as `scale.brightest`."""
        return self._of(times, BRIGHT).amax(1, keepdim=True).clamp_min(DARKEST)

    def forward(self, times: torch.Tensor) -> torch.Tensor:
        """(n, width): numbers of about 1."""
        TR, TE, TI = (each[:, None].float() for each in times.unbind(1))
        top = self.brightest(times)
        own = [(TR / 3000).log(), (TE / 40).log(), TI / 1000, (TI > 0).float(), top.log()]
        return torch.cat([*own, self.tissues(times) / top], 1)

    def _of(self, times: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
        return self.tissues(times)[:, [self.names.index(name) for name in names]]


class Encoder(nn.Module):
    """Residual blocks without normalisation, led by the times and by how bright this brain is as a whole.

    Detail joins at the end in full resolution.
    """

    def __init__(
        self,
        times: Times,
        width: int,
        blocks: int,
        features: int,
        stride: int,
        residual: float,
        dilated: bool,
    ) -> None:
        super().__init__()
        self.times, self.stride, self.residual = times, stride, residual
        seen = 1 + len(times.names)
        cycle = (1, 2, 4, 8, 4, 2) if dilated else (1,)
        self.start = nn.Conv2d(seen, width, stride + 2, stride, padding=1)
        self.blocks = nn.ModuleList(Block(width, cycle[n % len(cycle)]) for n in range(blocks))
        self.known = nn.Sequential(
            nn.Linear(times.width + len(PERCENTS), KNOWN), nn.ReLU(), nn.Linear(KNOWN, KNOWN), nn.ReLU()
        )
        self.lead = nn.Linear(KNOWN, 2 * width * blocks)
        self.own = nn.Linear(KNOWN, len(times.names))
        self.up = nn.ConvTranspose2d(width, JOINED, stride, stride)
        self.detail = nn.Conv2d(seen, JOINED, 3, padding=1)
        self.last = nn.Conv2d(JOINED, features, 1)

    def forward(
        self, image: torch.Tensor, times: torch.Tensor, levels: torch.Tensor, kept: tuple[Any, ...]
    ) -> torch.Tensor:
        h, w = image.shape[-2:]
        image = functional.pad(image.float(), (0, -w % self.stride, 0, -h % self.stride))
        known = self.known(torch.cat([self.times(times), LEVELS * levels.float()], 1))
        seen = self.seen(image, times, self.own(known)).contiguous(memory_format=torch.channels_last)
        x = functional.relu(self.start(seen))
        led = self.lead(known)[..., None, None].chunk(len(self.blocks), 1)
        for block, own in zip(self.blocks, led, strict=True):
            x = x + self.residual * block(x, own)
        joined = (self.up(x) + self.detail(seen))[..., :h, :w][kept]
        return self.last(functional.relu(joined))

    def seen(self, image: torch.Tensor, times: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """The image, and where it is above or below what each tissue would give; `expected` is 1.

        own : (n, tissues), by how much each tissue differs in this brain
        """
        unit = self.times.expected(times)
        tissues = self.times.tissues(times) / unit * torch.exp(FARTHEST * torch.tanh(own.float()))
        image = image / unit[..., None, None]
        return torch.cat([image, torch.tanh(SHARPNESS * (image - tissues[..., None, None]))], 1)


class Block(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor, led: torch.Tensor) -> torch.Tensor:
        gain, offset = led.chunk(2, 1)
        return self.second(functional.relu(self.first(x) * (1 + gain) + offset))


class ToTimes(nn.Module):
    """Cross-attention of features (queries) to tokens of the times (keys and values), as in the paper.

    One token would give every voxel the same, so there is one for each tissue's signal and one for all times.
    """

    def __init__(self, times: Times, features: int) -> None:
        super().__init__()
        if features % HEADS:
            raise InputError(f"Attention needs a multiple of {HEADS} features.")
        self.times = times
        self.tokens = len(times.names) + 1
        self.to_tokens = nn.Sequential(
            nn.Linear(times.width, 64), nn.ReLU(), nn.Linear(64, 2 * self.tokens * features)
        )
        self.query = nn.Conv2d(features, features, 1)
        self.out = nn.Conv2d(features, features, 1)

    def forward(self, features: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        n, c, h, w = features.shape
        tokens = self.to_tokens(self.times(times)).view(n, 2, self.tokens, HEADS, -1).transpose(2, 3)
        query = self.query(features).view(n, HEADS, -1, h * w).transpose(2, 3)
        keys, values = tokens[:, 0].to(query.dtype), tokens[:, 1].to(query.dtype)
        found = functional.scaled_dot_product_attention(query, keys, values)
        return features + self.out(found.transpose(2, 3).reshape(n, c, h, w))


class Fusion(nn.Module):
    """Voxel by voxel and group by group the mean of features, of the surer ones more.

    Gains of two scans are each known to some percent only, so what carries the scale has to come from the
    first: each group learns how much more that counts.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.ones(groups, 1, 1, 1))

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        values, sure = split(torch.stack(list(features)).float())  # (scans, n, groups, channels, h, w)
        sure = torch.cat([sure[:1] + self.first, sure[1:]])
        values = (values * sure.softmax(0)).sum(0)
        return torch.cat([values, sure.logsumexp(0)], 2).flatten(1, 2).to(features[0].dtype)


class Interval(nn.Module):
    """The ends of the 90 % interval, in units of the brightest tissue; learns, but teaches nothing."""

    def __init__(self, times: Times, hidden: int, extra: int, width: int = 32) -> None:
        super().__init__()
        self.times = times
        self.first = nn.Conv2d(hidden, width, 1)
        self.extra = nn.Conv2d(extra, width, 1)
        self.lead = nn.Linear(times.width, 2 * width)
        self.last = nn.Conv2d(width, 2, 1)

    def known(self, hidden: torch.Tensor) -> torch.Tensor:
        """The part that needs no times."""
        return self.first(hidden.detach())

    def forward(
        self, known: torch.Tensor, extra: Sequence[torch.Tensor], times: torch.Tensor
    ) -> list[torch.Tensor]:
        gain, offset = self.lead(self.times(times))[..., None, None].chunk(2, 1)
        seen = self.extra(torch.cat([each.detach() for each in extra], 1))
        x = functional.relu(known * torch.exp(torch.tanh(gain)) + seen + offset)
        top = self.times.brightest(times)[..., None, None]
        return [top * end for end in functional.softplus(self.last(x).float()).split(1, 1)]


class Mixture(nn.Module):
    """Shares of tissue atoms in each voxel, modulated by the atoms' signals under the target's times."""

    low: torch.Tensor
    high: torch.Tensor

    def __init__(self, times: Times, features: int, hidden: int, layers: int, atoms: int) -> None:
        super().__init__()
        self.times = times
        self.hidden = mlp(features, hidden, layers - 1)
        self.shares = nn.Conv2d(hidden, atoms + 1, 1)
        self.interval = Interval(times, hidden, 2)
        self.register_buffer("low", torch.tensor([math.log(x) for x in SHORTEST]), persistent=False)
        self.register_buffer("high", torch.tensor([math.log(x) for x in LONGEST]), persistent=False)
        self.relaxation = nn.Parameter(torch.tensor([_start_of(n) for n in range(atoms)]))

    def atoms(self) -> Atoms:
        """Those of people as they were in training."""
        T1, T2 = (self.low + (self.high - self.low) * self.relaxation.float().sigmoid()).exp().unbind(1)
        return Atoms(T1, T2, torch.ones_like(T1))

    def mixture(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The MLP's last layer, and how much of each atom there is (n, atoms, h, w), whatever the target."""
        hidden = self.hidden(features)
        *shares, density = self.shares(hidden).float().tensor_split((-1,), 1)
        return hidden, functional.softplus(density) * shares[0].softmax(1)

    def corrected(self, amounts: torch.Tensor, weights: torch.Tensor, measured: Measured) -> torch.Tensor:
        """Amounts after `evidence`: more of the atoms that give what was measured, their sum as before.

        weights : (n, scans, h, w)
        """
        density = amounts.sum(1, keepdim=True).clamp_min(LEAST)
        gains = measured.atoms.signals(measured.times)
        favoured = torch.einsum("sk,nshw->nkhw", gains, weights) * density
        usual = (favoured * amounts).sum(1, keepdim=True) / density
        found = amounts * (1 + favoured - usual).clamp_min(0)
        return found * (density / found.sum(1, keepdim=True).clamp_min(LEAST))

    def forward(
        self,
        features: torch.Tensor,
        measured: Measured | None = None,
        weights: torch.Tensor | None = None,
    ) -> Callable[[torch.Tensor], Prediction]:
        hidden, amounts = self.mixture(features)
        if measured is not None and weights is not None:
            amounts = self.corrected(amounts, weights.float(), measured)
        atoms = self.atoms() if measured is None else measured.atoms
        return partial(self.played, self.interval.known(hidden), amounts, atoms)

    def played(
        self, known: torch.Tensor, amounts: torch.Tensor, atoms: Atoms, times: torch.Tensor
    ) -> Prediction:
        """The image of `atoms` in `amounts` under `times`."""
        gains = atoms.signals(times)
        # A sum over atoms for each image; the second moment says how much its atoms disagree.
        both = torch.stack([gains, gains**2], 1)
        image, square = torch.einsum("nak,nkhw->anhw", both, amounts)[:, :, None]
        density = amounts.sum(1, keepdim=True)
        spread = (square * density - image**2).clamp_min(1e-8).sqrt()
        top = self.times.brightest(times)[..., None, None]
        return Prediction(image, *self.interval(known, [image / top, spread / top], times))


def _start_of(atom: int) -> list[float]:
    """Where the T1 and T2 of an atom begin, between -inf (shortest) and inf (longest).

    The first atoms are the tissues of the table, the others their variations.
    """
    tissues, found = list(TISSUES.values()), []
    for n, value in enumerate(tissues[atom % len(tissues)][:2]):
        varied = 0.2 * math.cos(2.4 * atom + 1.6 * n) if atom >= len(tissues) else 0.0
        low, high = math.log(SHORTEST[n]), math.log(LONGEST[n])
        share = min(max((math.log(value) + varied - low) / (high - low), 0.02), 0.98)
        found.append(math.log(share / (1 - share)))
    return found


class Multiplied(nn.Module):
    """Features times the embedding of the target's times (a bounded gain), then an MLP to the image."""

    def __init__(self, times: Times, features: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.times = times
        self.embed = nn.Sequential(
            nn.Linear(times.width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, 2 * features),
        )  # fmt: skip
        self.hidden = mlp(features, hidden, layers - 1)
        self.image = nn.Conv2d(hidden, 1, 1)
        self.interval = Interval(times, hidden, 1)

    def forward(self, features: torch.Tensor) -> Callable[[torch.Tensor], Prediction]:
        return partial(self.modulated, features)

    def modulated(self, features: torch.Tensor, times: torch.Tensor) -> Prediction:
        gain, offset = self.embed(self.times(times))[..., None, None].chunk(2, 1)
        hidden = self.hidden(features * torch.exp(LARGEST_GAIN * torch.tanh(gain)) + offset)
        top = self.times.brightest(times)[..., None, None]
        # Without a kink at 0: a ReLU that is dead at the start never learns.
        image = functional.softplus(self.image(hidden).float(), beta=8)
        return Prediction(top * image, *self.interval(self.interval.known(hidden), [image], times))


def mlp(features: int, hidden: int, layers: int) -> nn.Sequential:
    """Coordinate-wise, `layers` of them, each with its ReLU."""
    widths = [features, *[hidden] * layers]
    pairs = zip(widths[:-1], widths[1:], strict=True)
    return nn.Sequential(*(part for a, b in pairs for part in (nn.Conv2d(a, b, 1), nn.ReLU())))


def _start(part: nn.Module) -> None:
    """Weights that keep the variance from layer to layer (He 2015): without norm layers nothing else does."""
    if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        transposed = isinstance(part, nn.ConvTranspose2d)
        nn.init.kaiming_normal_(part.weight, mode="fan_out" if transposed else "fan_in", nonlinearity="relu")
        if part.bias is not None:
            nn.init.zeros_(part.bias)
    elif isinstance(part, Interval):
        part.last.weight.data *= 0.1
        nn.init.constant_(part.last.bias, -3.0)  # type: ignore[arg-type]
    elif isinstance(part, ToTimes):
        part.out.weight.data *= 0.1
    elif isinstance(part, Multiplied):
        part.embed[-1].weight.data.mul_(0.1)  # type: ignore[operator]
        part.image.weight.data *= 0.1
    elif isinstance(part, Encoder):
        part.lead.weight.data *= 0.1
        part.own.weight.data *= 0.1
