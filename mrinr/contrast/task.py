"""Changing contrast as tasks of the engine's worker: volumes and plain parameters in, volumes out.

`volumes` are "0", "1", ...: the sources, in order. Parameters of all that take volumes: "sources", a list of
[TR, TE, TI] in ms, and "model", "register", "device", "threads" as in `change_contrast`. What was encoded
stays in the worker's cache, so only the first task that takes some sources pays for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mrinr.context import Context
from mrinr.contrast import MODEL, pipeline
from mrinr.contrast.encoded import Encoded
from mrinr.contrast.parameters import CLINICAL, PRESETS, of_times, outside, times, title_of
from mrinr.contrast.pipeline import Options, Session
from mrinr.contrast.search import Limits
from mrinr.contrast.search import search as find_best
from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.synthesis.result import Synthesis
from mrinr.synthesis.space import onto
from mrinr.volume import Volume

Result = tuple[dict[str, Volume], dict[str, Any]]


def run(volumes: dict[str, Volume], parameters: dict[str, Any], context: Context) -> Result:
    """parameters["target"]: [TR, TE, TI]. Returns "result", "uncertainty", "brain"."""
    session = _encoded(volumes, parameters, context.stage(0.0, 0.7))
    found = pipeline.decode(session, of_times(parameters["target"]), context.stage(0.7, 1.0))
    return _volumes(found), found.report


def encode(volumes: dict[str, Volume], parameters: dict[str, Any], context: Context) -> Result:
    """Only encode. The report has "key", for `slices`, and "grid", where the head lies."""
    session = _encoded(volumes, parameters, context)
    grid = session.encoded.worked_on()
    place = {"shape": list(grid.shape), "affine": grid.affine.tolist()}
    return {}, {**session.facts, "key": session.key, "grid": place}


def slices(volumes: dict[str, Volume], parameters: dict[str, Any], context: Context) -> Result:
    """Planes of what was encoded, for the live view.

    parameters : "key"; "target"; "planes", by name {"shape", "affine"} of a grid. Returns for each plane a
        volume of that name and, as "... uncertainty", half its 90 % interval. The report says "encoded":
        false where the key is not in the cache (any more): then encode again.
    """
    session = context.cache.get(parameters["key"])
    if session is None:
        return {}, {"encoded": False}
    target = of_times(parameters["target"])
    found = {}
    for name, plane in parameters["planes"].items():
        context.check()
        grid = Grid(tuple(plane["shape"]), np.array(plane["affine"]))
        mean, raw = session.encoded.plane(session.network, target, grid)
        for key, voxels in ((name, mean), (f"{name} uncertainty", session.half(raw))):
            found[key] = Volume(voxels * session.encoded.gain, grid.affine, key)
    return found, {"encoded": True, "warnings": outside(target, session.box)}


def sweep(volumes: dict[str, Volume], parameters: dict[str, Any], context: Context) -> Result:
    """parameters["targets"]: a list of [TR, TE, TI]. Returns results "0", "1", ..., and "brain"."""
    targets = [of_times(each, f"step {n + 1}") for n, each in enumerate(parameters["targets"])]
    session = _encoded(volumes, parameters, context.stage(0.0, 0.4))
    out: dict[str, Volume] = {}
    for n, target in enumerate(targets):
        step = context.stage(0.4 + 0.6 * n / len(targets), 0.4 + 0.6 * (n + 1) / len(targets))
        found = pipeline.decode(session, target, step)
        out |= {str(n): found.volume, "brain": found.brain}
    return out, found.report


def search(volumes: dict[str, Volume], parameters: dict[str, Any], context: Context) -> Result:
    """Where two regions differ most. Besides the sources, `volumes` are "first" and "second", 0 outside.

    parameters : "limits", as `Limits` has them. Returns no volume; the report is that of `search.Found`, with
        contrasts in the first source's units, and "warnings".
    """
    limits = Limits(**parameters["limits"])
    regions = [(volumes[name], volumes[name].name) for name in ("first", "second")]
    session = _encoded(volumes, parameters, context.stage(0.0, 0.8))
    limits, said = limits.within(session.box)
    for sentence in said:
        context.warn(sentence)
    encoded = session.encoded
    signals = encoded.signals(session.network, [_rows(encoded, *region) for region in regions])
    found = find_best(lambda at: signals(at) * encoded.gain, limits, context.stage(0.8, 1.0))
    return {}, {**found.report(), "warnings": list(context.warnings)}


def reference(volumes: dict[str, Volume], parameters: dict[str, Any], context: Context) -> Result:
    """How well "target" is known from "sources" voxel by voxel, in dB; see `mrinr.contrast.reference`.

    Takes no volumes. The report has "alone", and in "adding", by title, what each clinical sequence that is
    not among the sources would give.
    """
    from mrinr.contrast.reference import reference as known

    given = [of_times(each) for each in parameters["sources"]]
    target = of_times(parameters["target"])
    others = [PRESETS[name] for name in CLINICAL if name != "STIR"]
    others = [each for each in others if times(each) not in [times(x) for x in (*given, target)]]
    found = {}
    for n, more in enumerate([None, *others]):
        context.progress(n / (1 + len(others)), "Looking voxels up in simulated heads")
        found[more and title_of(more)] = known([*given, *([] if more is None else [more])], target)
    return {}, {"alone": found.pop(None), "adding": found}


def _rows(encoded: Encoded, region: Volume, name: str) -> np.ndarray:
    """The voxels of a region that were encoded."""
    there = (onto(region, encoded.grid) > 0.5) & (encoded.index >= 0)
    if not there.any():
        raise InputError(f"{name} has no voxel in the head; draw it in the first scan.")
    return encoded.index[there]


def _encoded(volumes: Mapping[str, Volume], parameters: Mapping[str, Any], context: Context) -> Session:
    played = parameters["sources"]
    sources = [(volumes[str(n)], of_times(each, volumes[str(n)].name)) for n, each in enumerate(played)]
    options = Options(
        parameters.get("model", MODEL),
        parameters.get("register", "auto"),
        parameters.get("device", "auto"),
        threads=parameters.get("threads"),
    )
    return pipeline.encode(sources, options, context)


def _volumes(found: Synthesis) -> dict[str, Volume]:
    return {"result": found.volume, "uncertainty": found.uncertainty, "brain": found.brain}
