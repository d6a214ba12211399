"""What can be trained: a network, its recipe, and what a batch must show and ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from torch.utils.data import IterableDataset

from mrinr.bundles import ARCHITECTURES, LOOKERS, RESTORERS, TIMED
from mrinr.errors import InputError
from mrinr.synthesis import local_inr, pix2pix
from mrinr.training.contrast_slices import JUDGED, Asked
from mrinr.training.recipe import Recipe
from mrinr.training.simulated import Wanted
from mrinr.training.sources import Source


@dataclass(frozen=True)
class Kind:
    """One row of `KINDS`.

    recipe : "module:class" in mrinr.training
    presets : by name, the arguments of the network beside inputs and targets, and those of the data
    wanted : (inputs, targets) to what a batch shows
    steps : where nobody says how many
    stream : "module:class" in mrinr.training of what it is fed with from label maps; None for slices
    judged : further arguments of the data on which it is judged
    scans : whether the stream takes real subjects beside label maps
    """

    recipe: str
    presets: Mapping[str, tuple[dict[str, Any], dict[str, Any]]]
    wanted: Callable[[tuple[str, ...], tuple[str, ...]], Wanted]
    steps: int = 20_000
    stream: str | None = None
    judged: Mapping[str, Any] = field(default_factory=dict)
    scans: bool = False

    def of(self, preset: str) -> tuple[dict[str, Any], dict[str, Any]]:
        if preset not in self.presets:
            raise InputError(f"The preset '{preset}' is not known; use {' or '.join(self.presets)}.")
        return self.presets[preset]

    def batches(self, people: Source, wanted: Wanted, seed: int, **arguments: Any) -> IterableDataset[Any]:
        """An endless stream of batches. Raises InputError where it cannot be made of `people`."""
        if self.stream is None:
            return people.slices(wanted, seed, **arguments)
        module, _, name = self.stream.partition(":")
        stream = getattr(import_module(f"mrinr.training.{module}"), name)
        if self.scans:
            return stream(people.maps, people.subjects, seed=seed, **arguments)
        if not people.maps:
            raise InputError("This kind is trained on label maps; name a folder of them.")
        return stream(people.maps, seed=seed, **arguments)


def _three(inputs: tuple[str, ...], targets: tuple[str, ...]) -> Wanted:
    return Wanted(inputs, targets, most=min(3, max(len(inputs) - 1, 1)), least=3, at_once=3)


def _all(inputs: tuple[str, ...], targets: tuple[str, ...]) -> Wanted:
    return Wanted(inputs, targets)


def _one(inputs: tuple[str, ...], targets: tuple[str, ...]) -> Wanted:
    return Wanted(inputs, inputs, most=1)


def _adversarial(presets: Mapping[str, dict[str, Any]]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Crops and batches as in Chen 2023."""
    return {
        "compact": (presets["compact"], {"size": (160, 128), "batch": 4}),
        "paper": (presets["paper"], {"size": (160, 128), "batch": 8}),
    }


KINDS = {
    "multimodal": Kind(
        "multimodal:ModalityInvariant",
        {
            "compact": ({"width": 16, "decoder_width": 16}, {"size": (96, 96), "batch": 4}),
            "paper": ({"width": 32, "decoder_width": 32}, {"size": (160, 192), "batch": 16}),
        },
        _three,  # the loss draws subsets of them
    ),
    "local-inr": Kind("adversarial:Adversarial", _adversarial(local_inr.PRESETS), _all),
    "pix2pix": Kind("adversarial:Adversarial", _adversarial(pix2pix.PRESETS), _all),
    "brain": Kind(
        "brain:BrainRecipe",
        {"compact": ({}, {"size": (192, 208), "batch": 6, "everywhere": True})},
        _one,
        2_000,
    ),
    "recogniser": Kind(
        "recogniser:RecogniserRecipe",
        {"compact": ({}, {"batch": 48})},
        _one,
        1_000,
        "looks:SimulatedLooks",
    ),
    "intensities": Kind(
        "intensities:IntensityRecipe",
        {"compact": ({}, {"batch": 64})},
        _all,
        20_000,
        "voxels:SimulatedVoxels",
    ),
    "crl": Kind(
        "contrast:ContrastRecipe",
        {
            "compact": ({"variant": "modulation", "width": 64}, {"size": (96, 96), "batch": 2}),
            "attention": ({"variant": "attention", "width": 64}, {"size": (96, 96), "batch": 2}),
            "paper": (
                {
                    "variant": "attention",
                    "width": 256,
                    "blocks": 32,
                    "stride": 1,
                    "residual": 0.1,
                    "dilated": False,
                    "hidden": 256,
                    "layers": 5,
                },
                {"size": (192, 192), "batch": 4},
            ),
        },
        _all,
        20_000,
        "contrast_slices:SimulatedContrasts",
        {"asked": Asked(sources=1, named=JUDGED)},
    ),
    "prior": Kind(
        "prior:PriorRecipe",
        {"compact": ({}, {"size": (96, 96), "batch": 8})},
        _all,
        20_000,
        "prior_planes:PriorPlanes",
        scans=True,
    ),
}


def build(
    kind: str, preset: str, inputs: tuple[str, ...], targets: tuple[str, ...]
) -> tuple[Recipe, dict[str, Any], dict[str, Any]]:
    """A new recipe with its network, the network's arguments, and the arguments of the data."""
    network_arguments, data_arguments = KINDS[kind].of(preset)
    arguments = dict(network_arguments)
    if kind not in (*LOOKERS, *RESTORERS, *TIMED):
        arguments |= {"inputs": list(inputs), "targets": list(targets)}
    module, _, name = ARCHITECTURES[kind].partition(":")
    network = getattr(import_module(module), name)(**arguments)
    module, _, name = KINDS[kind].recipe.partition(":")
    recipe_module = import_module(f"mrinr.training.{module}")
    settings = getattr(recipe_module, "PRESETS", {}).get(preset, {})
    return getattr(recipe_module, name)(network, **settings), arguments, data_arguments
