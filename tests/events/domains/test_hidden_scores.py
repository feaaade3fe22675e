import numpy as np
import pytest

from hepda.errors import ConfigError, HepdaError
from hepda.events.domains.hidden_scores import hidden_scores
from hepda.events.expressions.columns import Column
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import parse


def above(number):
    return float(np.nextafter(number, np.inf))


@pytest.mark.parametrize(
    ("condition", "low", "high"),
    [
        ("score > 0.7", above(0.7), np.inf),
        ("score >= 0.7", 0.7, np.inf),
        ("0.3 < score", above(0.3), np.inf),
        ("score < 0.5", 0.0, 0.5),
        ("score <= 0.5", 0.0, above(0.5)),
        ("(score > 0.2) & (score < 0.9)", above(0.2), 0.9),
        ("0.2 <= score <= 0.9", 0.2, above(0.9)),
        ("score > 0.2 and not score > 0.9", above(0.2), above(0.9)),
        ("~(score < 0.25)", 0.25, np.inf),
        ("(score > 0.5) | (score > 0.6)", above(0.5), np.inf),
        ("(score <= 0.5) | (score > 0.5)", 0.0, np.inf),
        ("(score > 0.3) ^ (score > 0.4)", above(0.3), above(0.4)),
        ("score > 1 - 0.25", above(0.75), np.inf),
        ("score == 0.5", 0.5, above(0.5)),
        ("score >= 1", 1.0, np.inf),
        ("score > -1", 0.0, np.inf),
        ("True", 0.0, np.inf),
    ],
)
def test_the_range_is_exact(condition, low, high):
    assert hidden_scores(condition) == (low, high)
    near = np.array([0.0, 1.0, *(x for end in (low, high) if 0 < end < 1 for x in (np.nextafter(end, 0), end))])
    holds = Evaluator({"score": Column(near)}, {}, len(near)).condition(parse(condition))
    np.testing.assert_array_equal((low <= near) & (near < high), holds)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("abs(score - 0.5) < 0.2", "must be compared with numbers"),
        ("score * 2 > 1", "must be compared with numbers"),
        ("score", "must be compared with numbers"),
        ("(score > 0.7) | (score < 0.2)", "more than one range"),
        ("score != 0.5", "more than one range"),
        ("score > 70", "hides no score"),
        ("False", "hides no score"),
    ],
)
def test_other_conditions_are_refused(condition, message):
    with pytest.raises(ConfigError, match=message) as error:
        hidden_scores(condition)
    assert "evaluation.blind" in str(error.value)


def test_another_name_is_unknown():
    with pytest.raises(HepdaError, match="scoore"):
        hidden_scores("scoore > 0.7")
