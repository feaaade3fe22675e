import subprocess
import sys

import pytest

LIGHT = [
    "roc", "efficiency", "differences.bias", "significance", "expected", "fits.binning", "calibration",
    "differences.probes", "fits.fitting", "fits.toys",
]  # fmt: skip
HEAVY = ("torch", "sklearn", "scipy", "pyhf", "iminuit")
CODE = f"import sys, hepda.evaluation.{{}}; print([m for m in {HEAVY} if m in sys.modules])"


@pytest.mark.parametrize("module", LIGHT)
def test_nothing_heavy_is_imported_before_it_is_needed(module):
    command = [sys.executable, "-c", CODE.format(module)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
