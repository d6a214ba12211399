"""Puts the data of Resources that the backend needs into the wheel; everything else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("anatomy", "bundles")  # folders of Resources; mrinr/resources.py finds them


class BuildWithResources(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for name in SHIPPED:
            target = Path(self.build_lib) / "mrinr" / "_resources" / name
            shutil.copytree(Path("Resources") / name, target, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithResources})
