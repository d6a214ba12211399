"""From scans to one of other times: check, align, find the brain, scale, encode once, decode, scale back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mrinr import bundles, provenance
from mrinr.bundles import Bundle
from mrinr.context import Context
from mrinr.contrast.encoded import Encoded, encode_head
from mrinr.contrast.network import ContrastRepresentation
from mrinr.contrast.parameters import Box, outside, times, title_of
from mrinr.engine.device import choose, set_threads
from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.synthesis.calibration import calibrated
from mrinr.synthesis.head import prepare
from mrinr.synthesis.pipeline import align_to
from mrinr.synthesis.result import Synthesis
from mrinr.synthesis.room import check_room
from mrinr.synthesis.space import onto
from mrinr.volume import Volume, check_image

PREVIEW_EVERY = 1.5  # seconds
ENCODED, NETWORK = "contrast: encoded ", "contrast: network "  # what keys of the cache begin with
Sources = Sequence[tuple[Volume, MRSequence]]


@dataclass(frozen=True)
class Options:
    """The arguments of `mrinr.contrast.change_contrast`."""

    model: str | Path
    register: str = "auto"
    device: str = "auto"
    seed: int = 0
    threads: int | None = None


@dataclass(eq=False)
class Session:
    """A subject that was encoded, and what decodes it.

    key : of the context's cache, where it stays
    like : the first source's grid
    facts : for the report
    """

    key: str
    encoded: Encoded
    network: ContrastRepresentation
    bundle: Bundle
    like: Grid
    facts: dict[str, Any]

    @property
    def box(self) -> Box:
        return self.bundle.facts["box"]

    def half(self, raw: np.ndarray) -> np.ndarray:
        """Half the 90 % interval from the network's raw one, both on the physical scale."""
        return calibrated(raw, self.bundle.facts["calibration"].get("any"))


def run(sources: Sources, target: MRSequence, options: Options, context: Context) -> Synthesis:
    """See `mrinr.contrast.change_contrast`."""
    started = time.monotonic()
    session = encode(sources, options, context.stage(0.0, 0.7))
    found = decode(session, target, context.stage(0.7, 1.0))
    found.report["seconds"] = round(time.monotonic() - started, 2)
    return found


def encode(sources: Sources, options: Options, context: Context) -> Session:
    """Everything that no target changes; done once, as long as the context's cache keeps it."""
    check(sources, options)
    bundle = find_model(options.model)
    key = key_of(sources, bundle, options)
    for volume, played in sources:
        for sentence in outside(played, bundle.facts["box"], volume.name):
            context.warn(sentence)
    kept = context.cache.get(key)
    if kept is not None:
        for sentence in kept.facts["warnings"]:
            context.warn(sentence)
        return kept
    for old in [old for old in context.cache if old.startswith(ENCODED)]:
        del context.cache[old]  # two would not fit
    device, device_line = choose(options.device)
    threads = set_threads(options.threads)
    torch.manual_seed(options.seed)
    volumes = {str(n): volume for n, (volume, _) in enumerate(sources)}
    aligned = align_to("0", volumes, options.register, context.stage(0.0, 0.25))
    head = prepare(aligned, "0", device, context.stage(0.25, 0.4))
    context.progress(0.4, f"Loading the model {bundle.name}")
    network = _network(bundle, device, context)
    encoded = encode_head(network, head, [played for _, played in sources], context.stage(0.4, 1.0))
    facts = {
        "method": bundle.architecture,
        "model": bundle.name,
        "weights_sha256": bundle.sha256,
        "trained_on": bundle.facts["training"]["data"],
        "sources": [
            {"name": volume.name, **_named(played), "median": head.units[str(n)]}
            for n, (volume, played) in enumerate(sources)
        ],
        "device": device_line,
        "threads": threads,
        "self_check": _self_check(encoded, [volume.name for volume, _ in sources]),
        "settings": {"model": bundle.name, "register": options.register},
        "warnings": list(context.warnings),
    }
    session = Session(key, encoded, network, bundle, sources[0][0].grid, facts)
    context.cache[key] = session
    return session


def decode(session: Session, target: MRSequence, context: Context) -> Synthesis:
    """The whole volume, its uncertainty and the brain, on the first source's grid."""
    for sentence in outside(target, session.box):
        context.warn(sentence)
    name, encoded = title_of(target), session.encoded
    show = _previews(session, name, context) if context.wants_preview else None
    mean, raw = encoded.decode(session.network, target, context=context.stage(0.0, 0.85), show=show)
    half = session.half(raw)

    def back(values: np.ndarray, called: str) -> Volume:
        context.check()
        full = Volume(encoded.filled(values) * encoded.gain, encoded.grid.affine, called)
        return Volume(np.clip(onto(full, session.like), 0, None), session.like.affine, called)

    context.progress(0.85, "Writing the result")
    brain = onto(Volume(encoded.brain.astype(np.float32), encoded.grid.affine), session.like) > 0.5
    return Synthesis(
        back(mean, f"{name} synthetic"),
        back(half, f"{name} uncertainty"),
        Volume(brain.astype(np.float32), session.like.affine, "brain"),
        report=report(session, target, context),
    )


def report(session: Session, target: MRSequence, context: Context) -> dict[str, Any]:
    """What is known of a result."""
    return {
        **session.facts,
        "target": {"name": title_of(target), **_named(target)},
        "notice": provenance.notice("synthesis"),
        "warnings": list(context.warnings),
    }


def check(sources: Sources, options: Options) -> None:
    """Raise InputError for anything that cannot be used."""
    if not sources:
        raise InputError("No scan was given; give at least one, with its TR, TE and TI.")
    if options.register not in ("auto", "off"):
        raise InputError(f"register must be auto or off, not {options.register}.")
    check_room({str(n): volume.grid for n, (volume, _) in enumerate(sources)}, "0")
    for n, (volume, played) in enumerate(sources):
        check_image(volume)
        if any(_same(volume, played, *other) for other in sources[:n]):
            raise InputError(f"{volume.name} was given twice; once is enough.")


def find_model(wanted: str | Path) -> Bundle:
    """The model of that name or folder. Raises InputError where it is none or changes no contrast."""
    bundle = bundles.find(wanted)
    if bundle.architecture != "crl":
        raise InputError(
            f"The model {bundle.name} knows no TR, TE and TI; choose a model of the architecture crl."
        )
    return bundle


def key_of(sources: Sources, bundle: Bundle, options: Options) -> str:
    """The cache's key: by the voxels, where they lie, their times, the model and how they are worked on."""
    digest = hashlib.sha256(f"{bundle.sha256} {options}".encode())
    for volume, played in sources:
        digest.update(f"{volume.name} {times(played)} {volume.voxels.shape}".encode())
        digest.update(volume.affine.tobytes())
        digest.update(np.ascontiguousarray(volume.voxels).data)
    return ENCODED + digest.hexdigest()


def _network(bundle: Bundle, device: torch.device, context: Context) -> ContrastRepresentation:
    key = f"{NETWORK}{bundle.sha256} {device}"
    if key not in context.cache:
        context.cache[key] = bundle.network(device)
    return context.cache[key]


def _named(played: MRSequence) -> dict[str, float]:
    return dict(zip(("TR", "TE", "TI"), times(played), strict=True))


def _same(volume: Volume, played: MRSequence, other: Volume, others: MRSequence) -> bool:
    return (
        times(played) == times(others)
        and volume.grid.same_as(other.grid)
        and np.array_equal(volume.voxels, other.voxels)
    )


def _self_check(encoded: Encoded, names: Sequence[str]) -> dict[str, Any]:
    """Each source predicted from the others: median error in the brain, in % of its range there."""
    if not encoded.checks:
        return {"text": "No self-check: with one scan nothing can be hidden.", "errors": []}
    listed = ", ".join(
        f"{name} {100 * found['error']:.1f} % of its range (a constant: {100 * found['constant']:.1f} %)"
        for name, found in zip(names, encoded.checks, strict=True)
    )
    text = f"Each scan hidden and predicted from the others, median error: {listed}."
    return {"text": text, "errors": encoded.checks}


def _previews(session: Session, name: str, context: Context) -> Callable[[np.ndarray], None]:
    shown = [time.monotonic()]

    def show(values: np.ndarray) -> None:
        if time.monotonic() - shown[0] >= PREVIEW_EVERY:
            shown[0] = time.monotonic()
            encoded = session.encoded
            voxels = encoded.filled(values) * encoded.gain
            context.preview(Volume(voxels, encoded.grid.affine, f"{name} (synthetic)"))

    return show
