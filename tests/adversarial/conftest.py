from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _bfloat16_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulated products give the same numbers: what is tested does not depend on the processor of the test."""
    monkeypatch.setattr("hepda.adversarial.training.settings.multiplies_bfloat16", lambda: True)
