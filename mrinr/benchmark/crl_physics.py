"""Whether the sliders obey the signal equation: sessions of one scan and of two against closed forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mrinr.benchmark.crl_people import Slab
from mrinr.contrast.encoded import Encoded
from mrinr.contrast.network import ContrastRepresentation
from mrinr.simulation.sequences import null
from mrinr.simulation.signal import Sequence

SOURCE = "CRL7"  # T2-weighted
BOTH = (SOURCE, "CRL5")  # with the proton density: two echo times, which T2 follows from
ECHOES = np.linspace(10, 200, 12)  # ms
LONG = 8000.0  # TR in ms of the echoes
FLUID = Sequence(TR=9000, TE=100)  # of the sweep over TI
INVERSIONS = np.arange(600.0, 3001.0, 100.0)
REPETITIONS = np.geomspace(500, 10000, 12)
MOST = 4000  # voxels of a region


def measure(person: Slab, network: ContrastRepresentation, encoded: Encoded) -> dict[str, Any]:
    """T2 of white matter and slope of CSF along TE, the null of CSF along TI, and steps the wrong way.

    Slopes are those of the line through the logarithm of the region's mean signal, true ones from the closed
    form.
    """
    found: dict[str, Any] = {"person": person.name}
    echoes = [Sequence(LONG, float(TE)) for TE in ECHOES]
    for tissue, short in (("white matter", "wm"), ("CSF", "csf")):
        signals = _signals(network, encoded, person.pure[tissue], echoes)
        found[f"{short}_slope"] = _slope(signals.mean(1))
        T2 = person.T2[person.pure[tissue]]
        found[f"{short}_true_slope"] = _slope(np.exp(-ECHOES[:, None] / T2).mean(1))
    fluid = person.pure["CSF"]
    sweep = _signals(network, encoded, fluid, [replace(FLUID, TI=float(TI)) for TI in INVERSIONS]).mean(1)
    T1 = float(np.median(person.T1[fluid]))
    found["null"], found["true_null"] = float(INVERSIONS[sweep.argmin()]), null(FLUID, T1)
    before, after = sweep[0], sweep[-1]
    found["dark"] = 100 * float(sweep.min() / _signals(network, encoded, fluid, [FLUID]).mean())
    found["back"] = float(min(before, after) / sweep.min())
    everywhere = _signals(network, encoded, person.inside, echoes)
    longer = _signals(network, encoded, person.inside, [Sequence(float(TR), 20.0) for TR in REPETITIONS])
    found["wrong_way"] = 100 * float(
        np.concatenate([np.diff(everywhere, axis=0) > 1e-6, np.diff(longer, axis=0) < -1e-6]).mean()
    )
    return found


def _signals(
    network: ContrastRepresentation, encoded: Encoded, mask: np.ndarray, played: list[Sequence]
) -> np.ndarray:
    """(sequences, voxels) on the physical scale, of some voxels of `mask`."""
    rows = encoded.index[mask]
    rows = rows[:: -(-len(rows) // MOST)]
    return np.stack([encoded.decode(network, each, rows)[0] for each in played])


def _slope(signals: np.ndarray) -> float:
    """Of the logarithm, in 1/s; falling is positive."""
    return float(-1000 * np.polyfit(ECHOES, np.log(np.maximum(signals, 1e-6)), 1)[0])
