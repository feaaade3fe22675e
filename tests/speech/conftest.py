"""Speech of the tests: made here, or the real recordings where HEPDA_DATA has them."""

from __future__ import annotations

import pytest

pytest.importorskip("soundfile", reason="the extra `speech` is not installed")
pytest.importorskip("jiwer", reason="the extra `speech` is not installed")
