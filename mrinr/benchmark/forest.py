"""Random forests on patches of several scales: the rival of Joyce 2017, after Jog 2017 (REPLICA)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from mrinr.training.batch import Batch

SCALES = (1, 3, 9)  # pixels that are averaged, and between the 3 x 3 means that are looked at
LEAF = 5  # voxels, as in REPLICA
CHOICE = 1 / 3  # of the features, tried at a split


@dataclass(frozen=True, eq=False)
class Forest:
    """`names` are its inputs, in order; `trees` what scikit-learn has grown."""

    names: tuple[str, ...]
    trees: Any

    def predict(
        self, images: Mapping[str, torch.Tensor], place: torch.Tensor, inside: torch.Tensor
    ) -> torch.Tensor:
        """(n, 1, h, w) each, place (n, 2, h, w), to the target (n, 1, h, w); 0 where `inside` is."""
        found = torch.zeros(inside.shape)
        for n in range(len(inside)):
            wanted = inside[n, 0] > 0
            if wanted.any():
                rows = features(images, self.names, place, n)[wanted.flatten().numpy()]
                found[n, 0][wanted] = torch.from_numpy(self.trees.predict(rows)).float()
        return found


def features(
    images: Mapping[str, torch.Tensor], names: Sequence[str], place: torch.Tensor, n: int
) -> np.ndarray:
    """Of each pixel of slice n, (h * w, 27 for a name + 2): 3 x 3 means of each scale, and where it lies."""
    columns = []
    for name in names:
        image = images[name][n : n + 1].float()
        for scale in SCALES:
            mean = functional.avg_pool2d(image, scale, 1, scale // 2)
            columns.append(functional.unfold(mean, 3, dilation=scale, padding=scale)[0])
    return torch.cat([*columns, place[n].float().flatten(1)]).T.numpy()


def grow(batches: Iterable[Batch], names: Sequence[str], target: str, voxels: int, trees: int) -> Forest:
    """So many `trees`, grown on about `voxels` of the brains in `batches`, as many of each slice."""
    from sklearn.ensemble import RandomForestRegressor

    rng, some = np.random.default_rng(0), list(batches)
    each = max(1, voxels // sum(len(batch.brain) for batch in some))
    seen, wanted = [], []
    for batch in some:
        for n, brain in enumerate(batch.brain):
            inside = np.flatnonzero(brain.numpy() > 0)
            chosen = rng.choice(inside, min(each, len(inside)), replace=False)
            seen.append(features(batch.seen, names, batch.place, n)[chosen])
            wanted.append(batch.clean[target][n].numpy().ravel()[chosen])
    grown = RandomForestRegressor(
        trees, min_samples_leaf=LEAF, max_features=CHOICE, random_state=0, n_jobs=-1
    )
    return Forest(tuple(names), grown.fit(np.concatenate(seen), np.concatenate(wanted)))
