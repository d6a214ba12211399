"""The local INR against a loop over its pixels and the paper's numbers; its baseline; their recipe."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mrinr.errors import InputError
from mrinr.synthesis import local_inr, pix2pix
from mrinr.synthesis.local_inr import LocalINR, encoded
from mrinr.synthesis.pix2pix import Pix2Pix
from mrinr.synthesis.prediction import BRIGHTEST
from mrinr.training.batch import Batch
from mrinr.training.recipe import pinball

TINY: dict[str, Any] = {"hyper_width": 8, "blocks": 2, "mlp_width": 6, "mlp_layers": 2, "bands": 2}


@pytest.fixture(autouse=True)
def _same_every_time() -> Iterator[None]:
    torch.manual_seed(3)
    yield


def tiny(
    inputs: tuple[str, ...] = ("T2",), tile: int | None = 4, blend: bool = True, **other: Any
) -> LocalINR:
    """A small network whose perceptrons differ more than those of a new one do."""
    network = LocalINR(inputs, ["T1ce"], tile=tile, blend=blend, **{**TINY, **other})
    with torch.no_grad():
        for layer in [*network.layers, network.image, network.interval]:
            layer.write.weight *= 2
    return network.eval()


def place_of(h: int, w: int, n: int = 1) -> Tensor:
    axes = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    return torch.stack(axes).expand(n, 2, h, w)


def smooth(h: int, w: int, n: int = 1) -> Tensor:
    """(n, 1, h, w): waves longer than a tile."""
    y, x = torch.meshgrid(torch.arange(h) / 9.0, torch.arange(w) / 11.0, indexing="ij")
    waves = [1 + 0.5 * torch.sin(y + k) * torch.cos(x - 2 * k) for k in range(n)]
    return torch.stack(waves)[:, None]


# The paper's numbers


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_perceptrons_have_the_papers_numbers_of_parameters() -> None:
    local = LocalINR(["T2"], ["T1ce"], **{**local_inr.PRESETS["paper"], "hyper_width": 1})
    assert local.perceptron_parameters() == 18_369
    whole = LocalINR(["T2"], ["T1ce"], tile=None, hyper_width=1, mlp_width=128, mlp_layers=7)
    assert whole.perceptron_parameters() == pytest.approx(100_000, rel=0.03)


def test_the_papers_preset_is_of_the_papers_size() -> None:
    with torch.device("meta"):
        network = LocalINR(["T2"], ["T1ce"], **local_inr.PRESETS["paper"])
    assert parameters(network) == pytest.approx(85.7e6, rel=0.01)


@pytest.mark.parametrize("kind", [LocalINR, Pix2Pix])
def test_compact_presets_stay_below_8_mb_in_half_precision(kind: type) -> None:
    presets = local_inr.PRESETS if kind is LocalINR else pix2pix.PRESETS
    assert parameters(kind(["T1", "T2", "FLAIR"], ["T1ce"], **presets["compact"])) <= 4.0e6


# The function


def by_pixel(network: LocalINR, images: dict[str, Tensor], place: Tensor, i: int, j: int) -> list[float]:
    """Image, low and high at a pixel of the first slice, by the definition."""
    stack = torch.cat([images[name] for name in network.inputs], dim=1)
    codes = network.encode(stack)[0]
    assert network.tile is not None
    x, y = ((float(p) + 1) / 2 for p in place[0, :, i, j])
    phases = [2**k * math.pi * at for k in range(network.bands) for at in (x, y)]
    values = [float(v) for v in stack[0, :, i, j]] + [
        f(phase) for f in (math.sin, math.cos) for phase in phases
    ]

    def linear(layer: Any, code: Tensor, x: np.ndarray) -> np.ndarray:
        written, (a, b) = layer.write(code * layer.scale).numpy().astype(float), layer.shape
        return x @ written[: a * b].reshape(a, b) + written[a * b :]

    def perceptron(code: Tensor) -> np.ndarray:
        x = np.array(values)
        for layer in network.layers:
            x = linear(layer, code, x)
            x = np.where(x > 0, x, 0.01 * x)
        image = (np.tanh(linear(network.image, code, x)) + 1) * BRIGHTEST / 2
        return np.concatenate([image, np.log1p(np.exp(linear(network.interval, code, x)))])

    total, weights = np.zeros(3), 0.0
    for row, column in np.ndindex(codes.shape[1:]):
        middles = [(t + 0.5) * network.tile - 0.5 for t in (row, column)]
        away = [abs(p - middle) / network.tile for p, middle in zip((i, j), middles, strict=True)]
        tent = max(0, 1 - away[0]) * max(0, 1 - away[1])
        weight = tent if network.blend else float(max(away) < 0.5)
        if weight:
            total, weights = total + weight * perceptron(codes[:, row, column]), weights + weight
    return list(total / weights)


@pytest.mark.parametrize("blend", [True, False])
@torch.no_grad()
def test_tiles_together_equal_one_pixel_after_the_other(blend: bool) -> None:
    network = tiny(("T2", "T1"), blend=blend)
    images = {"T1": torch.rand(1, 1, 13, 18), "T2": torch.rand(1, 1, 13, 18)}
    place = place_of(13, 18)
    found = torch.cat(list(network(images, place)), dim=1)
    for i, j in [(0, 0), (12, 17), (5, 7), (6, 8), (2, 16), (11, 1)]:
        assert found[0, :, i, j].tolist() == pytest.approx(by_pixel(network, images, place, i, j), rel=1e-4)


@pytest.mark.parametrize("tile", [4, None])
@torch.no_grad()
def test_many_tiles_at_once_give_the_same_as_few(tile: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = tiny(tile=tile, blend=False), {"T2": smooth(24, 20, 2)}
    at_once = network(images, place_of(24, 20, 2))
    monkeypatch.setattr(local_inr, "POINTS_AT_ONCE", 40)
    for a, b in zip(at_once, network(images, place_of(24, 20, 2)), strict=True):
        torch.testing.assert_close(a, b)


@torch.no_grad()
def test_a_perceptron_reaches_its_own_and_neighbouring_tiles_only() -> None:
    stack, place = smooth(32, 32), place_of(32, 32)
    for blend, reach in [(False, 0), (True, 2)]:
        network = tiny(blend=blend)
        codes = network.encode(stack)
        other = codes.clone()
        other[:, :, 3, 4] += 1
        changed = network.render(codes, stack, place).mean != network.render(other, stack, place).mean
        rows, columns = np.nonzero(changed[0, 0].numpy())
        assert (rows.min(), rows.max()) == (12 - reach, 15 + reach)
        assert (columns.min(), columns.max()) == (16 - reach, 19 + reach)


@torch.no_grad()
def test_given_the_perceptrons_a_pixel_depends_on_its_own_value_only() -> None:
    network, stack, place = tiny(), smooth(32, 32), place_of(32, 32)
    codes = network.encode(stack)
    other = stack.clone()
    other[0, 0, 9, 21] += 1
    changed = network.render(codes, stack, place).mean != network.render(codes, other, place).mean
    assert changed[0, 0].nonzero().tolist() == [[9, 21]]


@torch.no_grad()
def test_a_tile_seen_at_two_places_gets_two_positions() -> None:
    """The paper's point against ASAP-Net, whose encoding repeats in every tile."""
    network, flat = tiny(blend=False), torch.ones(1, 1, 32, 32)
    codes = network.encode(flat)[:, :, :1, :1].expand(-1, -1, 8, 8)  # the same perceptron everywhere
    image = network.render(codes, flat, place_of(32, 32)).mean[0, 0]
    assert (image[4:8, 4:8] - image[20:24, 24:28]).abs().max() > 0.01

    features = encoded(place_of(33, 33), 6)[0].flatten(1).T
    assert features.shape[1] == 24
    distance = torch.cdist(features, features) + 10 * torch.eye(len(features))
    assert distance.min() > 0.1  # every position is its own, also at opposite ends of the image


def seam_energy(image: Tensor, tile: int) -> float:
    """Mean squared second difference across the borders of tiles, in units of that inside tiles."""
    bend = (image[..., 2:, :] - 2 * image[..., 1:-1, :] + image[..., :-2, :]).square().mean((0, 1, 3))
    across = torch.tensor([(k + 1) % tile in (0, tile - 1) for k in range(len(bend))])
    return float(bend[across].mean() / bend[~across].mean())


@torch.no_grad()
def test_blending_removes_the_seams() -> None:
    network, images, place = tiny(tile=8), {"T2": smooth(64, 64)}, place_of(64, 64)
    blended = seam_energy(network(images, place).mean, 8)
    network.blend = False
    cut = seam_energy(network(images, place).mean, 8)
    assert cut > 10 and blended < 2


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 3), (31, 45), (33, 16)])
@pytest.mark.parametrize(
    "make", [tiny, lambda: tiny(tile=None, blend=False), lambda: Pix2Pix(["T2"], ["T1ce"], 2, 2)]
)
@torch.no_grad()
def test_slices_of_any_size_are_taken(size: tuple[int, int], make: Any) -> None:
    network = make().eval()
    found = network({"T2": torch.rand(2, 1, *size)}, place_of(*size, n=2))
    for each in found:
        assert each.shape == (2, 1, *size) and bool(each.isfinite().all())
    assert found.mean.min() >= 0 and found.mean.max() <= BRIGHTEST
    assert found.low.min() >= 0 and found.high.min() >= 0


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize(("tile", "blend"), [(4, True), (4, False), (None, False)])
@torch.no_grad()
def test_a_finer_grid_agrees_where_it_meets_the_pixels(scale: int, tile: int | None, blend: bool) -> None:
    network, images, place = tiny(tile=tile, blend=blend), {"T2": smooth(22, 17)}, place_of(22, 17)
    coarse, fine = network(images, place), network.at(images, place, scale)
    assert fine.mean.shape == (1, 1, 21 * scale + 1, 16 * scale + 1)
    for a, b in zip(coarse, fine, strict=True):
        torch.testing.assert_close(b[..., ::scale, ::scale], a, rtol=1e-4, atol=1e-5)


# The recipe


class OneDevice:
    """The two calls that a recipe makes of an Accelerator."""

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def backward(self, loss: Tensor) -> None:
        loss.backward()


def batch_of(h: int = 40, w: int = 32, n: int = 2) -> Batch:
    """The target is a rule of the input's value that changes with the place."""
    seen, place = smooth(h, w, n), place_of(h, w, n)
    clean = (2.2 - seen) * (1 + 0.5 * (place[:, :1] > 0.2))
    blank = torch.zeros(n, 1, h, w)
    return Batch({"T2": seen}, {"T1ce": clean}, torch.ones_like(blank), blank, place)


def recipe_of(network: torch.nn.Module) -> Any:
    pytest.importorskip("monai")
    from mrinr.training.adversarial import Adversarial

    return Adversarial(network, rate=4e-3, discriminator_width=4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda: LocalINR(["T2"], ["T1ce"], tile=4, blend=True, **TINY),
        lambda: Pix2Pix(["T2"], ["T1ce"], 6, 2, 0),
    ],
    ids=["local-inr", "pix2pix"],
)
def test_the_recipe_learns_one_batch_by_heart(make: Any) -> None:
    recipe, batch = recipe_of(make()), batch_of()
    first = recipe.step(batch, OneDevice())
    for _ in range(100):
        last = recipe.step(batch, OneDevice())
    assert last["l1"] < 0.3 * first["l1"]
    generator = recipe.networks["generator"].eval()
    found = recipe.predict(generator, batch, "T1ce")
    assert found.mean.shape == batch.clean["T1ce"].shape


def test_the_interval_learns_the_noise_and_leaves_the_image_alone() -> None:
    network, images, place = tiny(), {"T2": smooth(48, 48, 4)}, place_of(48, 48, 4)
    before = network(images, place).mean.detach()
    truth = before + 0.1 * torch.randn_like(before)
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    for _ in range(80):
        optimizer.zero_grad()
        pinball(network(images, place), truth, torch.ones_like(truth)).backward()
        optimizer.step()
    found = network(images, place)
    torch.testing.assert_close(found.mean, before)
    covered = (truth > found.mean - found.low) & (truth < found.mean + found.high)
    assert 0.86 < covered.float().mean() < 0.94


def test_the_discriminator_tells_truth_from_noise_and_sees_70_pixels() -> None:
    recipe_of(tiny())
    from mrinr.training.adversarial import patch_discriminator

    network = patch_discriminator(2, 2).eval()
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [(m.kernel_size[0], m.stride[0]) for m in convolutions] == [(4, 2)] * 3 + [(4, 1)] * 2
    for m in network.modules():
        if isinstance(m, torch.nn.InstanceNorm2d):
            m.forward = lambda x: x  # type: ignore[method-assign]  # it sees the whole slice
    x = torch.rand(1, 2, 160, 160, requires_grad=True)
    verdicts = network(x)[-1]
    verdicts[0, 0, 9, 9].backward()
    assert x.grad is not None
    rows = x.grad.abs().sum((0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 70


def test_the_discriminator_learns_while_the_generator_stands_still() -> None:
    recipe, batch = recipe_of(tiny()), batch_of(n=4)
    recipe.optimizers["generator"].param_groups[0]["lr"] = 0
    caught = [recipe.step(batch, OneDevice())["discriminator"] for _ in range(40)]
    assert np.mean(caught[-5:]) < 0.5 * caught[0]


def test_the_rate_falls_in_steps_to_a_32nd() -> None:
    recipe = recipe_of(tiny())
    rates = [recipe.decay(x) for x in np.linspace(0, 1, 61)]
    assert rates[0] == 1 and rates[-1] == 1 / 32 and sorted(set(rates)) == [0.5**k for k in range(5, -1, -1)]


# What is refused


@pytest.mark.parametrize(
    "arguments",
    [
        {"tile": 5},
        {"tile": 64},
        {"tile": 0},
        {"tile": None, "blend": True},
        {"mlp_width": 0},
        {"inputs": []},
        {"inputs": "T2"},
        {"inputs": ["T2", "T2"]},
        {"inputs": ["T1ce"]},
        {"targets": ["T1ce", "FLAIR"]},
    ],
)
def test_a_local_inr_that_cannot_be_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        LocalINR(**{"inputs": ["T2"], "targets": ["T1ce"], **TINY, **arguments})


@pytest.mark.parametrize("arguments", [{"width": 0}, {"levels": 0}, {"dropout": 1.0}, {"targets": []}])
def test_a_pix2pix_that_cannot_be_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Pix2Pix(**{"inputs": ["T2"], "targets": ["T1ce"], **arguments})


def test_images_that_do_not_fit_the_model_are_refused() -> None:
    network, image, place = tiny(("T1", "T2")), torch.rand(1, 1, 8, 8), place_of(8, 8)
    with pytest.raises(InputError, match="did not get T1"):
        network({"T2": image}, place)
    with pytest.raises(InputError, match="one grid"):
        network({"T1": image, "T2": torch.rand(1, 1, 8, 9)}, place)
    with pytest.raises(InputError, match="not 0"):
        network.at({"T1": image, "T2": image}, place, 0)


@pytest.mark.parametrize("arguments", [{"rate": 0}, {"discriminator_width": 0}, {"outside": 2}])
def test_a_recipe_that_cannot_be_is_refused(arguments: dict[str, float]) -> None:
    pytest.importorskip("monai")
    from mrinr.training.adversarial import Adversarial

    with pytest.raises(InputError):
        Adversarial(tiny(), **arguments)  # type: ignore[arg-type]
