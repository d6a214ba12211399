#!/usr/bin/env python3
"""Set up and run MRINR from a checkout, with Python 3.10 or later and nothing else.

    python3 dev.py demo [--out DIR] ...     run `mrinr demo`
    python3 dev.py test [PYTEST OPTION] ... run the tests
    python3 dev.py lint                     run ruff and mypy

Makes the virtual environment .venv beside this file and installs into it what the command needs, at the
versions of Testing/constraints.txt; the next time that is there already. Nothing else is changed.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CONSTRAINTS = ROOT / "Testing" / "constraints.txt"
EXTRAS = {"demo": "", "test": "[test]", "lint": "[test]"}
# In as many processes as there are cores; an option given later prevails (-n 0: in one). Files keep their
# order: xdist would put those of few tests, some of them long, at the end.
TEST = ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile", "--no-loadscope-reorder"]
LINT = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"])


def main():
    if sys.version_info < (3, 10):  # noqa: UP036  (an older Python reads this file, too)
        sys.exit(f"dev.py: Python 3.10 or later is needed, this is {sys.version.split()[0]}.")
    command, *options = sys.argv[1:] or [""]
    if command not in EXTRAS:
        sys.exit(__doc__)
    set_up(EXTRAS[command])
    if command == "demo":
        return run("-m", "mrinr", "demo", *options)
    if command == "test":
        return run("-m", "pytest", *TEST, *options, cwd=ROOT)
    return max(run("-m", *tool, cwd=ROOT) for tool in LINT)


def set_up(extra):
    """Install the project, editable, with an extra, unless just that was done before."""
    stamp = VENV / f"mrinr{extra}.stamp"
    if stamp.is_file() and stamp.read_text() == fingerprint() and PYTHON.exists():
        return
    if not PYTHON.exists():
        make_venv()
    print(f"Installing MRINR{extra} into {VENV}", file=sys.stderr)
    target = f"{ROOT}{extra}"
    if run("-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS, "--editable", target) != 0:
        sys.exit("dev.py: pip could not install everything; its message above says why.")
    for done in {"", extra}:  # an extra brings the rest along
        (VENV / f"mrinr{done}.stamp").write_text(fingerprint())


def make_venv():
    if VENV.exists():
        sys.exit(f"dev.py: {VENV} has no working Python; remove that folder and run this again.")
    try:
        import ensurepip  # noqa: F401  (what Debian leaves out of its Python)
        import venv
    except ImportError:
        sys.exit(
            "dev.py: this Python lacks venv or pip; install them (on Debian and Ubuntu: apt-get install "
            "python3-venv) and run this again."
        )
    venv.create(VENV, with_pip=True)


def fingerprint():
    """Changes with whatever the installation depends on."""
    content = str(ROOT).encode()
    for name in ("pyproject.toml", "setup.py", "Testing/constraints.txt"):
        content += (ROOT / name).read_bytes()
    return hashlib.sha256(content).hexdigest()


def run(*arguments, cwd=None):
    """The virtual environment's Python with these arguments; its exit status."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PYTHONHOME", None)
    return subprocess.run([str(PYTHON), *map(str, arguments)], cwd=cwd, env=environment).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
