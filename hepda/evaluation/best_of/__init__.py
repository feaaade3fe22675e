"""The best of many: what to expect of a point that was chosen because its number was the best.

Whoever tries some points and quotes the number of the best one quotes its luck as well. With 20 points whose means have
the same error, that is 1.9 of these errors if all points are equal, and still 0.5 if they differ by four errors.

errors.py     the errors of means over seeds or of bootstrap replicas, and how far the points truly differ
simulation.py the choice, repeated on simulated measurements: its bias, and the error of the corrected number
methods.py    `best_of` and the other estimators
"""

from hepda.evaluation.best_of.methods import METHODS, best_of, best_of_choice, best_of_values, self_correcting
from hepda.evaluation.best_of.simulation import largest

__all__ = ["METHODS", "best_of", "best_of_choice", "best_of_values", "largest", "self_correcting"]
