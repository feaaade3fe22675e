"""Numbers that are missing, with their reasons."""

from hepda.report.nulls import Null, nulls


def test_a_domain_may_be_called_like_a_key_that_is_text() -> None:
    content = {
        "verdict": {"third": None, "share": 0.4},
        "auc": {"third": {"value": None, "error": 0.1, "why": "no signal"}},
    }
    assert nulls(content) == [Null("auc › third › value", "no signal")]
