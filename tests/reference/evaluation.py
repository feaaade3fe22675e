"""Slow, obvious versions of what hepda.evaluation computes fast."""

from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np


def auc(score, label, weight):
    """Every pair of a signal and a background event: O(n^2)."""
    area = 0.0
    signal, background = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    for i in signal:
        for j in background:
            credit = 1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0
            area += weight[i] * weight[j] * credit
    return area / (weight[signal].sum() * weight[background].sum())


def cumulative(score, weight, x):
    """F(x), the share of weight at scores up to x."""
    return weight[score <= x].sum() / weight.sum()


def ks(score_a, weight_a, score_b, weight_b):
    """F_b - F_a where its size is largest, at every score in turn."""
    points = np.unique(np.concatenate([score_a, score_b]))
    difference = [cumulative(score_b, weight_b, x) - cumulative(score_a, weight_a, x) for x in points]
    return difference[int(np.argmax(np.abs(difference)))]


def wasserstein(score_a, weight_a, score_b, weight_b):
    """Integral of |F_a - F_b|, step by step."""
    points = np.unique(np.concatenate([score_a, score_b]))
    return sum(
        abs(cumulative(score_a, weight_a, x) - cumulative(score_b, weight_b, x)) * (y - x) for x, y in pairwise(points)
    )


def energy_distance(score_a, weight_a, score_b, weight_b):
    """sqrt(2 E|X - Y| - E|X - X'| - E|Y - Y'|) with weights, by all pairs."""
    a, b = weight_a / weight_a.sum(), weight_b / weight_b.sum()

    def mean_distance(x, p, y, q):
        return float((np.abs(x[:, None] - y[None, :]) * p[:, None] * q[None, :]).sum())

    square = (
        2 * mean_distance(score_a, a, score_b, b)
        - mean_distance(score_a, a, score_a, a)
        - mean_distance(score_b, b, score_b, b)
    )
    return max(square, 0.0) ** 0.5


def asimov(signal, background, uncertainty):
    """The formula of Cowan as printed, with 300 digits so that nothing cancels."""
    with localcontext() as context:
        context.prec = 300
        s, b, v = Decimal(float(signal)), Decimal(float(background)), Decimal(float(uncertainty)) ** 2
        if v == 0:
            return float((2 * ((s + b) * (1 + s / b).ln() - s)).sqrt())
        first = (s + b) * ((s + b) * (b + v) / (b * b + (s + b) * v)).ln()
        return float((2 * (first - b * b / v * (1 + v * s / (b * (b + v))).ln())).sqrt())


def gaussian_asimov(signal, background, uncertainty):
    """The significance with a Gaussian constraint of the background (AMS1 of arXiv:1611.01046), with 300 digits."""
    with localcontext() as context:
        context.prec = 300
        s, b, v = Decimal(float(signal)), Decimal(float(background)), Decimal(float(uncertainty)) ** 2
        b0 = (b - v + ((b - v) ** 2 + 4 * (s + b) * v).sqrt()) / 2
        return float((2 * ((s + b) * ((s + b) / b0).ln() - s - b + b0) + (b - b0) ** 2 / v).sqrt())


def fit_mu(signal, background, observed, relative_error, scale_error):
    """Minimise -2 ln L over mu, the background's scale and each bin's factor, by a general method."""
    from scipy.optimize import minimize

    fluctuating = relative_error > 0
    bins = len(signal)

    def nll(parameters):
        mu, scale, gamma = parameters[0], parameters[1], np.where(fluctuating, parameters[2:], 1.0)
        rate = gamma * (mu * signal + (scale if scale_error != 0 else 1.0) * background)
        if np.any(rate <= 0):
            return 1e12
        total = 2 * np.sum(rate - observed + observed * np.log(np.maximum(observed, 1e-300) / rate))
        total += np.sum(((gamma - 1)[fluctuating] / relative_error[fluctuating]) ** 2)
        if scale_error:
            total += ((scale - 1) / scale_error) ** 2
        return total

    best = np.ones(2 + bins)
    for _ in range(5):
        for method in ("Powell", "BFGS", "Nelder-Mead"):
            best = minimize(nll, best, method=method).x
    return best[0], nll(best)


def profiled(mu, signal, background, observed, relative_error, scale_error):
    """-2 ln L at its best scale and factors for a given mu, each found by a search along a line."""
    from scipy.optimize import minimize_scalar

    def in_bin(s, b, n, d, scale):
        def value(gamma):
            rate = gamma * (mu * s + scale * b)
            constraint = ((gamma - 1) / d) ** 2 if d > 0 else 0.0
            return 2 * (rate - n + n * np.log(n / rate)) + constraint

        return minimize_scalar(value, bounds=(0.01, 3), options={"xatol": 1e-9}).fun if d > 0 else value(1.0)

    def at(scale):
        total = sum(in_bin(*bin, scale) for bin in zip(signal, background, observed, relative_error, strict=True))
        return total + (((scale - 1) / scale_error) ** 2 if scale_error else 0.0)

    return minimize_scalar(at, bounds=(0.3, 3), options={"xatol": 1e-9}).fun if scale_error != 0 else at(1.0)


def cvm(score, variable, window=200, step=50):
    """The CvM distance of the LHCb challenge "Flavours of Physics": every window, every event, no weights."""
    order = np.argsort(np.argsort(score[np.argsort(variable)]))
    n = len(score)
    everything = np.arange(1, n + 1) / n
    found = []
    for start in range(0, n - window + 1, step):
        inside = np.cumsum(np.bincount(order[start : start + window], minlength=n)) / window
        found.append(np.mean((everything - inside) ** 2))
    return np.mean(found)
