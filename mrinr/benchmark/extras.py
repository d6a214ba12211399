"""The packages that only some benchmarks need."""

from __future__ import annotations

import importlib.util

from mrinr.errors import InputError

TRAINING = {"accelerate": "train", "monai": "train"}  # package: the extra that installs it
FOREST = {"scikit-learn": "benchmark"}
IMPORTED = {"scikit-learn": "sklearn"}  # where the package is not called what is imported


def check(needed: dict[str, str]) -> None:
    """Raise InputError where a package that training rivals needs is missing. `needed` is like TRAINING."""
    missing = [name for name in needed if importlib.util.find_spec(IMPORTED.get(name, name)) is None]
    if missing:
        names = " and ".join(missing)
        extras = ",".join(dict.fromkeys(needed[name] for name in missing))
        raise InputError(f"Training rivals needs {names}: pip install 'mrinr[{extras}]'.")
