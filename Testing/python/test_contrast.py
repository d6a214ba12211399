"""Changing TR, TE and TI: units, places, the cache, any plane, several scans, the contrast search.

The model is small and was taught on one head of ellipsoids; the one that ships is judged elsewhere.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import small_contrast
from scipy import ndimage
from small_contrast import FLAIR, GAIN, T1, T2, scan, tissues
from small_models import centred

from mrinr import bundles
from mrinr.context import Context
from mrinr.contrast import change_contrast, encoded, pipeline, task
from mrinr.contrast.parameters import PRESETS, times
from mrinr.contrast.search import Limits, search
from mrinr.engine import cache
from mrinr.errors import Cancelled, InputError
from mrinr.geometry import Grid
from mrinr.simulation.signal import Sequence, signal
from mrinr.simulation.tissue import TISSUES
from mrinr.volume import Volume

SHAPE = (46, 50, 46)
AFFINE = centred(np.eye(3), 1.8, SHAPE)
WIDE = Limits((400, 10000), (8, 200), (150, 3000))


@pytest.fixture(scope="module", autouse=True)
def shelf(made_once):
    folder = made_once("small_contrast", small_contrast.make)
    changed = pytest.MonkeyPatch()
    changed.setenv(small_contrast.SHELF, str(folder))
    changed.setattr(bundles, "_shipped_folders", small_contrast.on_the_shelf)
    yield folder
    changed.undo()


@pytest.fixture(scope="module")
def subject(shelf):
    """The T2 of the head, and what was encoded of it."""
    context = Context()
    source = scan(T2, AFFINE, SHAPE)
    return source, pipeline.encode([(source, T2)], pipeline.Options("crl-compact", device="cpu"), context)


def inside(name: str, affine=AFFINE, shape=SHAPE) -> np.ndarray:
    return tissues(affine, shape) == 1 + small_contrast.LAYERS.index(name)


def medians(volume: Volume) -> dict[str, float]:
    return {name: float(np.median(volume.voxels[inside(name)])) for name in small_contrast.LAYERS}


def parameters(*played: Sequence, **more) -> dict:
    return {"sources": [list(times(each)) for each in played], "device": "cpu", "register": "off", **more}


def test_targets_come_out_in_the_sources_units_and_in_their_order():
    source = scan(T2, AFFINE, SHAPE)
    dark = change_contrast([(source, T2)], FLAIR, device="cpu")
    same = change_contrast([(source, T2)], T2, device="cpu")
    assert same.volume.grid.same_as(source.grid) and dark.volume.grid.same_as(source.grid)
    found, true = medians(same.volume), medians(source)
    for name in ("grey matter", "white matter"):
        assert found[name] == pytest.approx(true[name], rel=0.25)
    assert found["CSF"] > found["grey matter"] > found["white matter"]
    nulled = medians(dark.volume)
    assert nulled["CSF"] < 0.5 * nulled["white matter"]


def test_another_gain_gives_the_same_image_at_that_gain():
    made = [
        change_contrast([(scan(T2, AFFINE, SHAPE, gain), T2)], T1, device="cpu").volume.voxels
        for gain in (GAIN, 37 * GAIN)
    ]
    np.testing.assert_allclose(made[1], 37 * made[0], rtol=2e-2, atol=37)


def test_a_scan_that_the_tissue_fit_finds_bright_is_darkened_and_its_result_brightened(shelf, monkeypatch):
    fitted, corrected, told, gains = encoded.fit_tissue, encoded.evidence, [], []
    monkeypatch.setattr(
        encoded,
        "evidence",
        lambda a, b, images, *rest: told.append(images[0]) or corrected(a, b, images, *rest),
    )
    source = scan(T2, AFFINE, SHAPE)
    for gain in (1.0, 1.3):
        monkeypatch.setattr(encoded, "fit_tissue", lambda *a, gain=gain: (fitted(*a)[0], [gain]))
        session = pipeline.encode([(source, T2)], pipeline.Options("crl-compact", device="cpu"), Context())
        gains.append(session.encoded.gain)
    assert gains[1] == pytest.approx(1.3 * gains[0])
    np.testing.assert_allclose(1.3 * told[1], told[0], rtol=1e-5)


def test_the_report_says_what_was_made_of_what(subject):
    source, session = subject
    result = pipeline.decode(session, Sequence(4321, 20), Context())
    said = result.report
    assert said["target"] == {"name": "TR 4321, TE 20 ms", "TR": 4321, "TE": 20, "TI": 0.0}
    assert said["sources"][0]["name"] == source.name and said["sources"][0]["TE"] == 100
    assert said["notice"].startswith("SYNTHETIC") and len(said["weights_sha256"]) == 64
    assert said["trained_on"] == "nothing" and said["warnings"] == []
    assert result.uncertainty.voxels.max() > 0 and set(np.unique(result.brain.voxels)) == {0, 1}


def test_times_outside_the_box_are_warned_of(subject):
    context = Context()
    result = pipeline.decode(subject[1], Sequence(15000, 300), context)
    assert [sentence[:6] for sentence in result.report["warnings"]] == ["TR 150", "TE 300"]
    assert np.isfinite(result.volume.voxels).all()


def turned(seed: int) -> np.ndarray:
    """Directions of an oblique, permuted, left-handed grid."""
    rng = np.random.default_rng(seed)
    q, r = np.linalg.qr(np.eye(3) + 0.15 * rng.normal(size=(3, 3)))
    found = (q * np.sign(np.diag(r)))[:, rng.permutation(3)] * rng.choice([-1, 1], 3)
    return found * np.where(np.linalg.det(found) > 0, [-1, 1, 1], 1)


@pytest.mark.parametrize("seed", [1, 2])
def test_an_oblique_left_handed_anisotropic_scan_gets_its_result_in_its_place(seed):
    shape = (60, 50, 44)
    affine = centred(turned(seed), (1.4, 1.8, 2.1), shape)
    assert np.linalg.det(affine) < 0
    result = change_contrast([(scan(T2, affine, shape), T2)], T1, device="cpu").volume
    assert result.grid.same_as(Grid(shape, affine))
    truth = scan(T1, affine, shape, noise=0)
    mirrored = scan(T1, np.diag([-1, 1, 1, 1]) @ affine, shape, noise=0).voxels
    right, wrong = (np.corrcoef(result.voxels.ravel(), x.ravel())[0, 1] for x in (truth.voxels, mirrored))
    assert right > 0.8 and right > wrong


def test_planes_show_what_the_volume_holds(subject):
    """Sagittal, coronal and axial planes through voxels, and one askew, against the whole decoded volume."""
    _, session = subject
    grid, network = session.encoded.grid, session.network
    whole, half = (session.encoded.filled(x) for x in session.encoded.decode(network, T1))
    middle = [n // 2 for n in grid.shape]
    for axis in range(3):
        low, high = [0, 0, 0], list(grid.shape)
        low[axis], high[axis] = middle[axis], middle[axis] + 1
        part = grid.crop(tuple(low), tuple(high))
        mean, raw = session.encoded.plane(network, T1, part)
        cut = np.take(whole, [middle[axis]], axis)
        np.testing.assert_allclose(mean, cut, atol=2e-3)
        np.testing.assert_allclose(raw, np.take(half, [middle[axis]], axis), atol=2e-3)
    c, s = np.cos(0.2), np.sin(0.2)
    affine = centred(np.array([[1, 0, 0], [0, c, -s], [0, s, c]]), 1.0, (80, 84, 1))
    affine[2, 3] += 7.3
    mean, _ = session.encoded.plane(network, T1, Grid((80, 84, 1), affine))
    points = Grid((80, 84, 1), affine).world(np.moveaxis(np.indices((80, 84, 1)), 0, -1))
    to = np.linalg.inv(grid.affine)
    index = np.moveaxis(points @ to[:3, :3].T + to[:3, 3], -1, 0)
    truth = ndimage.map_coordinates(whole, index, order=1)
    assert np.corrcoef(mean.ravel(), truth.ravel())[0, 1] > 0.97
    away = grid.affine + np.array([[0, 0, 0, 500.0]] + [[0] * 4] * 3)
    assert not session.encoded.plane(network, T1, Grid((8, 8, 1), away))[0].any()


def test_it_is_encoded_once_and_again_for_other_times_or_voxels(subject):
    source, _ = subject
    context = Context()
    volumes = {"0": source}
    _, first = task.encode(volumes, parameters(T2), context)
    session = context.cache[first["key"]]
    _, again = task.encode(volumes, parameters(T2), context)
    assert again["key"] == first["key"] and context.cache[again["key"]] is session
    task.run(volumes, parameters(T2, target=list(times(T1))), context)
    assert context.cache[first["key"]] is session
    _, other = task.encode(volumes, parameters(Sequence(4000, 90)), context)
    assert other["key"] != first["key"] and first["key"] not in context.cache  # there is room for one
    cache.trim(context.cache)
    assert other["key"] in context.cache


def test_slices_of_what_is_not_encoded_any_more_say_so(subject):
    planes = {"Red": {"shape": [8, 8, 1], "affine": AFFINE.tolist()}}
    asked = {"key": "gone", "target": list(times(T1)), "planes": planes}
    assert task.slices({}, asked, Context()) == ({}, {"encoded": False})
    context = Context()
    _, report = task.encode({"0": subject[0]}, parameters(T2), context)
    found, said = task.slices({}, {**asked, "key": report["key"]}, context)
    assert said == {"encoded": True, "warnings": []} and found["Red"].voxels.shape == (8, 8, 1)


def test_a_head_too_large_for_the_cache_keeps_its_brain(monkeypatch):
    monkeypatch.setattr(encoded, "LIMIT", 2_000_000)
    said: list[str] = []
    session = pipeline.encode(
        [(scan(T2, AFFINE, SHAPE), T2)],
        pipeline.Options("crl-compact", device="cpu"),
        Context(on_warning=said.append),
    )
    assert any("only the brain is worked on" in sentence for sentence in said)
    assert (session.encoded.index[session.encoded.brain] >= 0).all()


def test_several_scans_are_aligned_fused_and_checked():
    sources = [(scan(each, AFFINE, SHAPE), each) for each in (T2, T1)]
    result = change_contrast(sources, FLAIR, register="off", device="cpu")
    assert result.report["self_check"]["text"].startswith("Each scan hidden and predicted from the others")
    assert len(result.report["self_check"]["errors"]) == 2
    assert [each["TE"] for each in result.report["sources"]] == [100, 10]
    assert result.volume.grid.same_as(sources[0][0].grid)


def test_a_sweep_is_a_volume_for_each_step(subject):
    targets = [[9000, 120, TI] for TI in (1500, 2350)]
    found, _ = task.sweep({"0": subject[0]}, parameters(T2, targets=targets), Context())
    assert set(found) == {"0", "1", "brain"}
    early, nulled = (medians(found[n])["CSF"] for n in "01")
    assert nulled < early  # CSF goes dark on the way to its null


@pytest.mark.parametrize(
    "wrong, words",
    [
        (lambda s: change_contrast([], T1), "No scan was given"),
        (lambda s: change_contrast([(s, T2), (s, T2)], T1), "given twice"),
        (lambda s: change_contrast([(s, T2)], T1, register="maybe"), "register must be"),
        (lambda s: change_contrast([(s, T2)], T1, model="brain-compact"), "knows no TR, TE and TI"),
        (lambda s: change_contrast([(s, T2)], T1, model="none"), "no model 'none'"),
        (lambda s: change_contrast([(s.with_voxels(0 * s.voxels), T2)], T1), "is constant"),
        (lambda s: task.run({"0": s}, parameters(T2, target=[2.5, 0.1, 0]), Context()), "looks like seconds"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(subject, wrong, words):
    with pytest.raises(InputError, match=words):
        wrong(subject[0])


def test_cancel_is_noticed(subject):
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Cancelled):
        change_contrast([(subject[0], T2)], T1, device="cpu", context=Context(cancelled=cancelled))


# The contrast search --------------------------------------------------------------------------------------


def two_tissues(*names: str):
    """The closed form as a decoder."""
    table = np.array([TISSUES[name][:3] for name in names]).T

    def signals(asked: np.ndarray) -> np.ndarray:
        return np.array([signal(Sequence(*each), *table) for each in asked])

    return signals


@pytest.mark.parametrize(
    "names",
    [("white matter", "grey matter"), ("MS lesion", "CSF"), ("white matter", "MS lesion"), ("fat", "CSF")],
)
@pytest.mark.parametrize("time_weight", [0.0, 1.0])
def test_the_optimum_has_at_least_95_percent_of_the_analytic_one(names, time_weight):
    limits = Limits(WIDE.TR, WIDE.TE, WIDE.TI, time_weight)
    found = search(two_tissues(*names), limits)
    first, second = (np.array(TISSUES[name][:3])[:, None, None, None] for name in names)
    TR, TE, TI = np.meshgrid(
        np.geomspace(400, 10000, 90), np.geomspace(8, 200, 60), [0, *np.geomspace(150, 3000, 120)],
        indexing="ij",
    )  # fmt: skip
    gap = np.exp(-(TR - 2 * TE) / first[0]), np.exp(-(TR - 2 * TE) / second[0])
    values = [
        PD * np.abs(np.where(TI > 0, 1 - 2 * np.exp(-TI / T1) + left, 1 - left)) * np.exp(-TE / T2)
        for (T1, T2, PD), left in zip((first, second), gap, strict=True)
    ]
    score = np.abs(values[0] - values[1]) * (TR / 1000) ** (-time_weight / 2)
    assert found.score >= 0.95 * score[TI + 2 * TE < TR].max()
    assert found.best.TI + 2 * found.best.TE <= found.best.TR
    assert all(found.score >= each["score"] * 0.999 for each in found.conventional.values()
               if each["TR"] >= 400 and each["TE"] >= 8)  # fmt: skip


def test_scan_time_has_its_price():
    free, dear = (
        search(two_tissues("white matter", "grey matter"), Limits(WIDE.TR, WIDE.TE, None, weight)).best
        for weight in (0.0, 1.0)
    )
    assert dear.TR < free.TR


def test_the_map_has_an_axis_for_tr_and_one_for_ti_and_leaves_out_what_cannot_be_played():
    found = search(two_tissues("white matter", "CSF"), WIDE)
    said = found.report()
    assert np.array(found.map).shape == (len(found.TR), len(found.TI)) and found.TI[0] == 0
    late = found.TR[0] < found.TI
    assert np.isnan(found.map[0][late]).all() and None in said["map"]["score"][0]
    assert np.nanmax(found.map) <= found.score * 1.0001
    assert set(said["conventional"]) >= {"T1", "T2", "FLAIR", "T1-FLAIR", "CRL 9"}


@pytest.mark.parametrize(
    "wrong, words",
    [
        (lambda: Limits((5000, 400), (8, 200)), "range of TR must be two rising times"),
        (lambda: Limits((0.4, 10), (8, 200)), "milliseconds"),
        (lambda: Limits((400, 5000), (8, 200), time_weight=2), "weight of scan time"),
        (lambda: search(two_tissues("fat", "CSF"), Limits((400, 450), (300, 400))), "can be played"),
        (lambda: Limits((400, 5000), (300, 400)).within(small_contrast.BOX), "lies outside what the model"),
    ],
)
def test_limits_that_make_no_sense_are_refused_in_a_sentence(wrong, words):
    with pytest.raises(InputError, match=words):
        wrong()


def test_the_search_through_the_model_finds_what_tells_csf_from_grey_matter(subject):
    source, _ = subject
    regions = {
        key: Volume(inside(name).astype(np.float32), AFFINE, name)
        for key, name in (("first", "CSF"), ("second", "grey matter"))
    }
    limits = {"TR": [400, 20000], "TE": [8, 200], "TI": [150, 3000], "time_weight": 0.0}
    _, said = task.search({"0": source, **regions}, parameters(T2, limits=limits), Context())
    assert any("TR is searched from 400 to 10000 ms only" in sentence for sentence in said["warnings"])
    best = Sequence(**said["best"])
    truth = two_tissues("CSF", "grey matter")
    reached, possible = (
        abs(np.diff(truth(np.array([times(each)])))[0, 0]) for each in (best, search(truth, WIDE).best)
    )
    assert reached > 0.6 * possible
    assert said["contrast"] >= 0.95 * said["conventional"]["T2"]["contrast"]
    empty = {**regions, "first": Volume(np.zeros(SHAPE), AFFINE, "nothing")}
    with pytest.raises(InputError, match="nothing has no voxel in the head"):
        task.search({"0": source, **empty}, parameters(T2, limits=limits), Context())


def test_the_presets_can_all_be_made(subject):
    for preset in PRESETS.values():
        mean, _ = subject[1].encoded.decode(subject[1].network, preset, np.arange(50))
        assert np.isfinite(mean).all() and (mean >= 0).all()
