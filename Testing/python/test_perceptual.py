"""LPIPS from given weights agrees with its formula, written again with SciPy, and refuses other files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shell
import torch
from perceptual_weights import LAYERS, random_weights
from scipy.ndimage import maximum_filter
from scipy.signal import correlate

from mrinr.errors import InputError
from mrinr.perceptual import Lpips
from mrinr.volume import Volume, write


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return random_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    truth = random.uniform(0, 80, (32, 33, 35)).astype(np.float32)
    return truth, truth + random.normal(0, 10, truth.shape).astype(np.float32)


def by_hand(a: np.ndarray, b: np.ndarray, weights) -> float:
    """Equation 1 of the paper for one slice: channels made unit vectors, weighted squared differences."""
    alexnet, heads = (torch.load(path) for path in weights)
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    x, y = (
        (s[None] - shift[:, None, None]) / scale[:, None, None] for s in (a.astype(float), b.astype(float))
    )
    total = 0.0
    for n, (place, *_, stride, padding, pooled) in enumerate(LAYERS):
        weight, bias = (alexnet[f"features.{place}.{k}"].double().numpy() for k in ("weight", "bias"))
        made = []
        for f in (x, y):
            if pooled:
                f = maximum_filter(f, (1, 3, 3))[:, 1:-1:2, 1:-1:2]
            f = np.pad(f, ((0, 0), (padding, padding), (padding, padding)))
            maps = [correlate(f, w, mode="valid")[0, ::stride, ::stride] for w in weight]
            made.append(np.maximum(np.stack(maps) + bias[:, None, None], 0))
        x, y = made
        units = [f / np.sqrt((f**2).sum(0)) for f in made]
        head = heads[f"lin{n}.model.1.weight"].double().numpy()[0]
        total += float((head * (units[0] - units[1]) ** 2).sum(0).mean())
    return total


def test_one_slice_agrees_with_the_formula_written_down_again(weights, images):
    a, b = (torch.from_numpy(x[:2] * 2 / 90 - 1) for x in images)
    expected = [by_hand(x, y, weights) for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    assert Lpips(*weights).of_slices(a, b).tolist() == pytest.approx(expected, rel=1e-4)


def test_a_volume_has_the_mean_over_the_slices_of_all_its_axes(weights, images):
    lpips = Lpips(*weights)
    scaled = [torch.from_numpy(x / 40 - 1) for x in images]
    slices = [lpips.of_slices(*(x.movedim(axis, 0) for x in scaled)) for axis in range(3)]
    assert lpips(*images, 80) == pytest.approx(float(torch.cat(slices).mean()), rel=1e-4)


def test_the_same_image_has_no_distance_and_more_noise_has_more(weights, images):
    lpips = Lpips(*weights)
    truth, noisy = images
    assert lpips(truth, truth, 80) == 0
    assert 0 < lpips(truth, noisy, 80) < lpips(truth, truth + 3 * (noisy - truth), 80)


def test_evaluate_prints_lpips_where_weights_are_given_and_says_so_where_not(weights, images, tmp_path):
    names = [tmp_path / "truth.nii.gz", tmp_path / "made.nii.gz"]
    for path, voxels in zip(names, images, strict=True):
        write(Volume(voxels, np.eye(4), path.name), path)
    line = ["evaluate", "--reference", names[0], "--prediction", names[1], "--protocol", "irem"]
    found = json.loads(shell.run(*line, "--lpips-weights", *weights).stdout)
    low, high = float(images[0].min()), float(images[0].max())
    scaled = [(x - low) / (high - low) for x in images]
    assert found["lpips"] == pytest.approx(Lpips(*weights)(*scaled, 1.0), rel=1e-3)
    assert found["floors"]["constant"]["lpips"] > 0
    assert json.loads(shell.run(*line).stdout)["lpips"] == "not computed"


def test_other_files_are_refused_in_a_sentence(weights, images, tmp_path):
    broken, other = tmp_path / "broken.pth", tmp_path / "other.pth"
    broken.write_bytes(weights[0].read_bytes()[:1000])
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, other)
    for files, said in (
        ((tmp_path / "none.pth", weights[1]), "does not exist"),
        ((broken, weights[1]), "cannot be read"),
        ((other, weights[1]), "does not hold torchvision's AlexNet"),
        ((weights[1], weights[0]), "does not hold torchvision's AlexNet"),
        ((weights[0], weights[0]), "does not hold LPIPS's linear weights"),
    ):
        with pytest.raises(InputError, match=said):
            Lpips(*files)
    with pytest.raises(InputError, match="at least 31 voxels"):
        Lpips(*weights)(images[0][:20], images[1][:20], 80)
