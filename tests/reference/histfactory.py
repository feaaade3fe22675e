"""HistFactory's likelihood written out bin by bin, for MINUIT: slow and plain, nothing profiled by hand."""

from __future__ import annotations

import math

import numpy as np
from iminuit import Minuit


def interpolated_shape(nominal, up, down, alpha):
    """Code 4p of one bin: what is added to the nominal."""
    if alpha > 1:
        return alpha * (up - nominal)
    if alpha < -1:
        return alpha * (nominal - down)
    half_sum, half_difference = (up - down) / 2, (up + down - 2 * nominal) / 2
    return alpha * half_sum + half_difference * (15 * alpha**2 - 10 * alpha**4 + 3 * alpha**6) / 8


def interpolated_rate(up, down, alpha):
    """Code 4 by the conditions that define it: value and two derivatives of the exponentials at +-1."""
    if alpha >= 1:
        return up**alpha
    if alpha <= -1:
        return down**-alpha
    lu, ld = math.log(up), math.log(down)
    powers = np.arange(1, 7)
    rows = [
        np.ones(6), (-1.0) ** powers,
        powers, powers * (-1.0) ** (powers - 1),
        powers * (powers - 1), powers * (powers - 1) * (-1.0) ** powers,
    ]  # fmt: skip
    ends = [up - 1, down - 1, lu * up, -ld * down, lu**2 * up, ld**2 * down]
    return 1 + float(np.dot(np.linalg.solve(np.array(rows), ends), alpha**powers))


def twice_nll(templates, observed, mu, alphas, gammas, alpha_centres=None, gamma_centres=None):
    """-2 ln L, without terms that do not depend on parameters; alphas: name -> value."""
    total = 0.0
    for b, n in enumerate(observed):
        nu = variance = nominal = 0.0
        for sample in templates.channels[0].samples:
            h, rate = sample.sumw[b], 1.0
            contents = h
            for name, alpha in alphas.items():
                if name in sample.shapes:
                    up, down = sample.shapes[name]
                    r_up, r_down = sum(up) / sum(sample.sumw), sum(down) / sum(sample.sumw)
                    contents += interpolated_shape(h, up[b] / r_up, down[b] / r_down, alpha)
                    rate *= interpolated_rate(r_up, r_down, alpha)
                if name in sample.norms:
                    rate *= interpolated_rate(*sample.norms[name], alpha)
            nu += contents * rate * (mu if sample.signal else 1.0)
            nominal += h
            variance += sample.sumw2[b]
        rate = gammas[b] * nu
        if rate <= 0:
            return math.inf
        total += 2 * (rate - (n * math.log(rate) if n else 0.0))
        if variance:
            total += (gammas[b] - (1 if gamma_centres is None else gamma_centres[b])) ** 2 * nominal**2 / variance
    for name, alpha in alphas.items():
        total += (alpha - (0 if alpha_centres is None else alpha_centres[name])) ** 2
    return total


def minimise(templates, observed, mu=None, **centres):
    """A Minuit at its minimum, with MINOS for mu: mu (held at a value, if one is given), the alphas, the gammas."""
    names, bins = list(templates.systematics), len(observed)

    def function(values):
        alphas = dict(zip(names, values[1 : 1 + len(names)], strict=True))
        return twice_nll(templates, observed, values[0], alphas, values[1 + len(names) :], **centres)

    start = [1.0] + [0.0] * len(names) + [1.0] * bins
    minuit = Minuit(function, start, name=["mu", *names, *(f"gamma[{b}]" for b in range(bins))])
    minuit.errordef, minuit.tol, minuit.strategy = 1.0, 1e-4, 2
    for b in range(bins):
        minuit.limits[f"gamma[{b}]"] = (1e-6, 10)
        minuit.fixed[f"gamma[{b}]"] = not any(sample.sumw2[b] for sample in templates.channels[0].samples)
    if mu is not None:
        minuit.values["mu"], minuit.fixed["mu"] = mu, True
    minuit.migrad()
    minuit.hesse()
    if mu is None:
        minuit.minos("mu")
    assert minuit.valid
    return minuit
