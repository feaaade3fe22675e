"""The example in C++, compiled where g++ and the headers of onnxruntime are; its library is in the PyPI package."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx" / "score.cpp"


def header() -> Path | None:
    """The header in $ONNXRUNTIME (a release of onnxruntime), /usr/local or /usr (libonnxruntime-dev)."""
    for root in filter(None, (os.environ.get("ONNXRUNTIME"), "/usr/local", "/usr")):
        for folder in ("include", "include/onnxruntime", "include/onnxruntime/core/session"):
            found = Path(root) / folder / "onnxruntime_cxx_api.h"
            if found.is_file():
                return found
    return None


def compiled(folder: Path) -> Path:
    """The program; the test is skipped without a part that it needs."""
    import onnxruntime

    found = header()
    if shutil.which("g++") is None:
        pytest.skip("there is no g++")
    if found is None:
        pytest.skip("there are no headers of onnxruntime: set ONNXRUNTIME to the folder with include/")
    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*"), None)
    if library is None:
        pytest.skip("the package onnxruntime has no shared library here")
    (folder / "libonnxruntime.so.1").symlink_to(library)  # the name that the program looks for
    program = folder / "score"
    command = ["g++", "-std=c++17", str(EXAMPLE), "-I", str(found.parent), str(folder / "libonnxruntime.so.1")]
    subprocess.run([*command, f"-Wl,-rpath,{folder}", "-o", str(program)], check=True, timeout=300)
    return program


def run(program: Path, model: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program on a model."""
    return subprocess.run([str(program), str(model), *arguments], check=False, capture_output=True, text=True)
