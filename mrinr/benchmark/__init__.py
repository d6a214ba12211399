"""The tables of the papers, made again: published methods on the published degradation, honestly scored."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.files import write_bytes

__all__ = ["run"]


def run(
    name: str, data: Path | None, small: bool, out: Path, context: Context | None = None
) -> dict[str, Any]:
    """Run the benchmark `name`, print its table, write `results.json`, `table.txt` and `page.md` into `out`.

    Parameters
    ----------
    name : 'irem' or 'multi-contrast'
    data : folder of real scans (see `mrinr.benchmark.cases`); None simulates a head from the ICBM152 anatomy
    small : the middle of one head (IREM at a higher rate): minutes on two cores
    out : an existing folder

    Returns what results.json holds. Raises InputError for an unknown name and for data that cannot be used.
    """
    from mrinr.benchmark import irem, multi_contrast
    from mrinr.benchmark.table import as_page, as_text

    benchmarks = {"irem": irem.run, "multi-contrast": multi_contrast.run}
    if name not in benchmarks:
        raise InputError(f"The benchmark '{name}' is not known; use {' or '.join(benchmarks)}.")
    start = time.process_time()
    results = benchmarks[name](data, small, context or Context())
    results["cpu_seconds"] = round(time.process_time() - start)
    text = as_text(results)
    write_bytes(out / "results.json", json.dumps(results, indent=1).encode())
    write_bytes(out / "table.txt", text.encode())
    write_bytes(out / "page.md", as_page(results, f"mrinr benchmark {name}{' --small' * small}").encode())
    print(text)
    return results
