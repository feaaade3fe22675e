from __future__ import annotations

from pathlib import Path

import pytest

from hepda.config import load_config
from hepda.errors import ConfigError
from hepda.workflows.checks import check_precision
from tests.factory import write_analysis


def test_bfloat16_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load_config(write_analysis(tmp_path, n=50))
    asked = load_config(write_analysis(tmp_path, n=50, training={"epochs": 2, "precision": "bfloat16"}))
    settings = "hepda.adversarial.training.settings.multiplies_bfloat16"
    monkeypatch.setattr(settings, lambda: False)
    check_precision(plain, "cpu")
    check_precision(asked, "cuda")
    with pytest.raises(ConfigError, match=r"training\.precision: .*emulates.*float32"):
        check_precision(asked, "cpu")
    monkeypatch.setattr(settings, lambda: True)
    check_precision(asked, "cpu")
