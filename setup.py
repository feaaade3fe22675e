"""Copies the analysis files of configs/ into the wheel, as hepda/configs; everything else is in pyproject.toml."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """The usual step, and the analysis files, which `--config NAME` finds by name in the installed package too."""

    def run(self) -> None:
        """Build; an editable installation reads configs/ itself."""
        super().run()
        if not self.editable_mode:
            shutil.copytree("configs", Path(self.build_lib) / "hepda" / "configs", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithConfigs})
