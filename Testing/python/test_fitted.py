"""Fitted representations that are kept: the same image comes back, at any spacing, without fitting again."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from phantoms import head_stack

pytest.importorskip("torch")

import torch

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.superres import fitted, reconstruct

SHAPE = (24, 24, 24)
SMALL = {
    "profile-inr": {"epochs": 4, "features": 64, "width": 32, "layers": 2},
    "split-head": {"epochs": 2, "features": 64, "width": 32},
    "single": {"epochs": 2, "features": 64, "width": 32},
    "irem": {"epochs": 20, "features": 32, "width": 24, "learning_rate": 5e-3},
}


def stacks():
    return [head_stack("T1", "axial", shape=SHAPE), head_stack("T2", "coronal", shape=SHAPE)]


def fit(method: str):
    return reconstruct(stacks(), method=method, register="off", **SMALL[method])


def again(result, contrast: str, spacing: float, text: str | None = None):
    found = fitted.unpack(text or fitted.pack(result), torch.device("cpu"))
    return found.resample(result.volumes[contrast], contrast, spacing, Context())


@pytest.mark.parametrize("method", SMALL)
def test_at_its_own_spacing_the_same_image_comes_back(method):
    result = fit(method)
    for contrast, volume in result.volumes.items():
        back = again(result, contrast, float(volume.spacing[0]))
        assert back.voxels.shape == volume.voxels.shape
        assert np.allclose(back.voxels, volume.voxels, atol=1e-3 * volume.voxels.max())
        assert np.allclose(back.affine, volume.affine)


@pytest.mark.parametrize("method", ["profile-inr", "irem"])
def test_at_another_spacing_it_is_what_the_fit_itself_gives(method):
    result = fit(method)
    now, later = result.resample(0.7)["T1"], again(result, "T1", 0.7)
    assert later.voxels.shape == now.voxels.shape and np.allclose(later.affine, now.affine)
    error = np.abs(later.voxels - now.voxels)[2:-2, 2:-2, 2:-2]
    assert error.mean() < 0.005 * now.voxels.max()


def test_a_result_that_was_moved_is_resampled_where_it_lies():
    result = fit("irem")
    moved = np.array([[0, -1, 0, 5], [1, 0, 0, -7], [0, 0, 1, 2], [0, 0, 0, 1]], float)
    volume = result.volumes["T1"]
    found = fitted.unpack(fitted.pack(result), torch.device("cpu"))
    there = found.resample(replace(volume, affine=moved @ volume.affine), "T1", 0.8, Context())
    here = found.resample(volume, "T1", 0.8, Context())
    assert np.array_equal(there.voxels, here.voxels) and np.allclose(there.affine, moved @ here.affine)


def test_voxel_methods_keep_nothing():
    assert fitted.pack(reconstruct(stacks(), method="cubic", register="off")) == ""


def test_another_volume_or_too_fine_a_grid_is_refused_in_a_sentence():
    result = fit("irem")
    found = fitted.unpack(fitted.pack(result), torch.device("cpu"))
    volume = result.volumes["T1"]
    with pytest.raises(InputError, match="Refit needed"):
        found.resample(replace(volume, voxels=volume.voxels[:-1]), "T1", 1.0, Context())
    with pytest.raises(InputError, match="Refit needed"):
        found.resample(volume, "FLAIR", 1.0, Context())
    large = replace(volume, voxels=np.broadcast_to(np.float32(0), (400, 400, 400)))
    with pytest.raises(InputError, match="coarser"):
        replace(found, grid=large.grid).resample(large, "T1", 0.05, Context())


def damaged() -> dict[str, str]:
    text = fitted.pack(fit("irem"))
    with np.load(io.BytesIO(base64.b64decode(text))) as file:
        arrays = {key: file[key] for key in file.files}

    def packed(**changed) -> str:
        out = io.BytesIO()
        np.savez(out, **{**arrays, **changed})
        return base64.b64encode(out.getvalue()).decode()

    header = json.loads(str(arrays["header"]))

    def with_header(**facts) -> str:
        networks = [{**network, **facts} for network in header["networks"]]
        return packed(header=np.array(json.dumps({**header, "networks": networks})))

    huge = {**header["networks"][0]["arguments"], "width": 10**7}
    return {
        "cut off": text[: len(text) // 2],
        "no base64": "nonsense!",
        "no zip": base64.b64encode(b"nothing").decode(),
        "a class of its own": with_header(network="os.system"),
        "another size": with_header(arguments=huge),
        "very many parts": with_header(arguments={**huge, "contrasts": 10**9}),
        "pickled": packed(**{"0/trunk.encode.B": np.array([{"a": 1}], dtype=object)}),
        "no header": packed(header=np.zeros(3)),
    }


def test_damaged_or_hostile_text_is_one_sentence_and_runs_nothing():
    for what, text in damaged().items():
        with pytest.raises(InputError, match="Refit needed") as error:
            fitted.unpack(text, torch.device("cpu"))
        assert "\n" not in str(error.value), what


def test_resampling_goes_on_with_the_cpu(monkeypatch):
    """A stand-in for the GPU: the first evaluation finds no memory on it."""
    result = fit("irem")
    on, attempts = fitted.Field.on, []

    def without_memory(*arguments):
        attempts.append(arguments)
        if len(attempts) == 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return on(*arguments)

    monkeypatch.setattr(fitted.Field, "on", without_memory)
    parameters = {"fitted": fitted.pack(result), "contrast": "T1", "spacing": 0.8}
    context = Context()
    made, report = fitted.run({"result": result.volumes["T1"]}, parameters, context)
    assert made["result"].spacing == pytest.approx([0.8] * 3)
    assert report["device"] == "Using the CPU, as asked for." and "CPU was used" in context.warnings[0]
