"""The tables of the papers, made again: published methods on the published degradation, honestly scored."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mrinr.context import Context
from mrinr.engine.device import set_threads
from mrinr.errors import InputError
from mrinr.files import write_bytes

__all__ = ["run"]


def run(
    name: str,
    data: Path | None,
    small: bool,
    out: Path,
    context: Context | None = None,
    subjects: Sequence[str] = (),
    dedicated: bool = False,
    models: Sequence[str] = (),
    lpips_weights: Sequence[Path] = (),
    threads: int | None = None,
) -> dict[str, Any]:
    """Run the benchmark `name`, print its table, write `results.json`, `table.txt` and `page.md` into `out`.

    Parameters
    ----------
    name : 'irem', 'multi-contrast', 'multimodal', 'local-inr' or 'crl'
    data : folder of real scans in a layout that `mrinr.training.folders` knows, or of label maps; None
        simulates from the ICBM152 anatomy
    small : a part of a head, or of a few (IREM at a higher rate): minutes on two cores
    out : an existing folder
    subjects : of the people in `data`, all by default
    dedicated : of the multimodal benchmark
    models : of crl, and the learned prior of multi-contrast (one), names or folders
    lpips_weights : of multi-contrast, the two files of `mrinr.perceptual.Lpips`; without them no LPIPS
    threads : processor cores to use; None for as many as torch would

    Returns what results.json holds. Raises InputError for an unknown name and for data that cannot be used.
    """
    from mrinr.benchmark import apart, crl, irem, local_inr, multi_contrast, multimodal, sheets

    benchmarks: dict[str, Callable[[Path | None, bool, Context], dict[str, Any]]] = {
        "irem": partial(irem.run, out=out, subjects=subjects),
        "multi-contrast": partial(
            multi_contrast.run, out=out, subjects=subjects, models=models, lpips_weights=lpips_weights
        ),
        "multimodal": partial(multimodal.run, out=out, subjects=subjects, dedicated=dedicated),
        "local-inr": partial(local_inr.run, out=out, subjects=subjects),
        "crl": partial(crl.run, out=out, subjects=subjects, models=models),
    }
    if name not in benchmarks:
        raise InputError(f"The benchmark '{name}' is not known; use {' or '.join(benchmarks)}.")
    if lpips_weights and name != "multi-contrast":
        raise InputError(f"The benchmark {name} has no LPIPS; leave --lpips-weights out.")
    set_threads(threads)
    start = time.process_time() + apart.seconds()
    results = benchmarks[name](data, small, context or Context())
    results["cpu_seconds"] = round(time.process_time() + apart.seconds() - start)
    text = sheets.as_text(results)
    write_bytes(out / "results.json", json.dumps(results, indent=1).encode())
    write_bytes(out / "table.txt", text.encode())
    write_bytes(
        out / "page.md",
        sheets.as_page(
            results, _command(name, data, small, subjects, dedicated, models, lpips_weights, threads)
        ).encode(),
    )
    print(text)
    return results


def _command(
    name: str,
    data: Path | None,
    small: bool,
    subjects: Sequence[str],
    dedicated: bool,
    models: Sequence[str],
    lpips_weights: Sequence[Path],
    threads: int | None,
) -> str:
    where = [] if data is None else ["--data", str(data)]
    flags = ["--small"] * small + ["--dedicated"] * dedicated
    which = ["--subjects", *subjects] if subjects else []
    which += ["--models", *models] if models else []
    which += ["--lpips-weights", *map(str, lpips_weights)] if lpips_weights else []
    which += ["--threads", str(threads)] if threads else []
    return shlex.join(["mrinr", "benchmark", name, *flags, *where, *which])
