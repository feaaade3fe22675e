"""The likelihood of HistFactory in numpy, for many data sets in parallel, with all derivatives.

    n_i ~ Poisson(g_i nu_i),   nu_i = sum over samples of [mu] prod_p f_ps(alpha_p) (h_si + sum_p d_psi(alpha_p)),

with mu on the signal, rates f and shapes d interpolated as in `interpolation`, alpha_p ~ Normal(0, 1), and one
factor g_i ~ Normal(1, d_i) per bin for the templates' statistics (Barlow-Beeston lite: Conway, arXiv:1103.0354).
It is the likelihood of the workspace that `fitting` gives to pyhf; tests compare the two. The g_i are
profiled in closed form,

    g = [a - nu d^2 + sqrt((a - nu d^2)^2 + 4 n d^2)] / 2   (a: the centre of the constraint, nominally 1),

so that a fit has 1 + p parameters: mu and the alphas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepda.evaluation.fits.interpolation import RateFactors, additive
from hepda.evaluation.fits.newton import Derivatives, Minimum, Rows, minimise, solve
from hepda.evaluation.fits.templates import Templates
from hepda.results.evaluation import FloatArray

_LONGEST = 2.0  # longest step of an alpha, because rates are exponentials of it


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """Data of t experiments: counts, and the auxiliary measurements of the nuisance parameters."""

    observed: FloatArray  # [t, b], >= 0, may be non-integer
    alpha: FloatArray  # [t, p], centres of the systematics' constraints
    gamma: FloatArray  # [t, b], centres of the constraints of the factors g
    fixed_gamma: FloatArray | None = None  # [t, b], factors g that are fixed at a value; NaN where they are profiled

    def __getitem__(self, rows: Rows) -> Observations:
        fixed_gamma = None if self.fixed_gamma is None else self.fixed_gamma[rows]
        return Observations(self.observed[rows], self.alpha[rows], self.gamma[rows], fixed_gamma)


@dataclass(frozen=True, slots=True, eq=False)
class _Expected:
    """nu and the quantities from which its derivatives are computed; lists have one entry per sample."""

    nu: FloatArray  # [t, b]
    slopes: FloatArray  # [t, 1 + p, b]
    contents: list[FloatArray]  # [t, b], before rates and mu
    rates: FloatArray  # [t, s], without mu
    weights: FloatArray  # [3, 2, t, p], of `additive`
    by_alpha: FloatArray  # [t, p, s], of the logarithm of the rate
    bend: FloatArray  # [t, p, s], its second derivative


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Templates as arrays: s samples, b bins, and the p systematics that have an effect."""

    names: tuple[str, ...]  # of the systematics [p]
    signal: tuple[bool, ...]  # [s]
    nominal: FloatArray  # [s, b]
    up: FloatArray  # [s, p, b], shape up - nominal
    down: FloatArray  # [s, p, b], nominal - shape down
    factors: RateFactors  # [p, s]
    error: FloatArray  # [b], the relative error d of the templates' statistics

    @classmethod
    def of(cls, templates: Templates) -> Model:
        """Build the model from templates; raise DataError if a bin cannot be fitted (`Templates.check`)."""
        templates.check()
        names, samples = templates.active, templates.samples
        nominal = np.stack([s.sumw for s in samples])
        up, down = np.zeros((2, len(samples), len(names), nominal.shape[1]))
        rates = np.ones((2, len(names), len(samples)))
        for s, sample in enumerate(samples):
            for p, name in enumerate(names):
                rates[:, p, s], (high, low) = sample.split(name)
                up[s, p], down[s, p] = high - sample.sumw, sample.sumw - low
        return cls(
            names,
            tuple(s.signal for s in samples),
            nominal,
            up,
            down,
            RateFactors.of(*rates),
            templates.statistical_error,
        )

    @property
    def bins(self) -> int:
        """Number of bins."""
        return int(self.nominal.shape[1])

    def nominally(self, observed: FloatArray) -> Observations:
        """Return counts [t, b] with auxiliary measurements at their nominal values."""
        return Observations(observed, np.zeros((len(observed), len(self.names))), np.ones_like(observed))

    def fluctuated(
        self,
        truth: FloatArray,
        toys: int,
        generator: np.random.Generator,
        alpha: FloatArray | float = 0.0,
        gamma: FloatArray | float = 1.0,
    ) -> Observations:
        """Return toys: Poisson counts about `truth` [b], auxiliary measurements about alpha [p] and gamma [b]."""
        return Observations(
            generator.poisson(truth, (toys, self.bins)).astype(np.float64),
            generator.normal(alpha, 1.0, (toys, len(self.names))),
            generator.normal(gamma, self.error, (toys, self.bins)),
        )

    def expected(self, theta: FloatArray) -> FloatArray:
        """Return the expected events nu [t, b] of mu and the alphas, theta [t, 1 + p], without the factors g."""
        return self._expected(theta).nu

    def gamma(self, nu: FloatArray, data: Observations) -> FloatArray:
        """Return the profiled factors g [t, b] of the templates' statistics."""
        d2 = self.error**2
        half = 0.5 * (data.gamma - nu * d2)
        root = np.sqrt(half**2 + data.observed * d2)
        far = np.where(half < 0, root - half, 1.0)  # for half < 0 the sum below would cancel
        profiled = np.where(half < 0, data.observed * d2 / far, half + root)
        return (
            profiled if data.fixed_gamma is None else np.where(np.isnan(data.fixed_gamma), profiled, data.fixed_gamma)
        )

    def derivatives(self, theta: FloatArray, data: Observations) -> Derivatives:
        """Return -ln L and its derivatives by mu and the alphas, theta [t, 1 + p]; it is 0 for a perfect description.

        It is infinite where a bin expects no events. `positive` replaces each bin's curvature by its expectation.
        """
        at = self._expected(theta)
        allowed = at.nu.min(axis=1) > 0
        nu = np.where(at.nu > 0, at.nu, 1.0)
        gamma, d2 = self.gamma(nu, data), self.error**2
        free = np.ones_like(nu) if data.fixed_gamma is None else np.isnan(data.fixed_gamma)
        n = data.observed
        by_nu = gamma - n / nu
        root = 2 * gamma + nu * d2 - data.gamma  # positive unless n = 0 and g approaches 0, where it does not change
        moving = free * d2 / np.where(root > 0, root, 1.0)
        curvature = n / nu**2 - np.where(root > 0, moving * gamma, 0.0)
        information = gamma**2 / (nu * (gamma + free * nu * d2))
        pull = theta[:, 1:] - data.alpha
        gradient = (at.slopes @ by_nu[:, :, None])[:, :, 0]
        gradient[:, 1:] += pull
        constraint = np.eye(theta.shape[1])
        constraint[0, 0] = 0.0
        turned = at.slopes.transpose(0, 2, 1)
        hessian = (at.slopes * curvature[:, None]) @ turned + constraint
        self._bend(at, theta, by_nu, hessian)
        positive = (at.slopes * (information + 1e-12)[:, None]) @ turned + constraint
        value = self._value(nu, gamma, data) + 0.5 * np.einsum("tp,tp->t", pull, pull)
        return Derivatives(np.where(allowed, value, np.inf), gradient, hessian, positive)

    def response(self, theta: FloatArray, data: Observations, hessian: FloatArray) -> FloatArray:
        """Return d(mu) / d(n) at the best fit [t, b]: -H^-1 d(gradient) / dn, by the implicit function theorem."""
        at = self._expected(theta)
        gamma, d2 = self.gamma(at.nu, data), self.error**2
        root = 2 * gamma + at.nu * d2 - data.gamma
        by_n = d2 / np.where(root > 0, root, 1.0) - 1 / at.nu
        first = np.zeros_like(theta)
        first[:, 0] = 1.0
        row = solve(hessian, first)
        return np.asarray(-np.einsum("tq,tqb,tb->tb", row, at.slopes, by_n))

    def _value(self, nu: FloatArray, gamma: FloatArray, data: Observations) -> FloatArray:
        rate, n = gamma * nu, data.observed
        some = (n > 0) & (rate > 0)
        ratio = np.divide(n, rate, out=np.ones_like(rate), where=some)
        terms = rate - n + n * np.log(ratio)
        varies = self.error > 0
        pull = np.divide(gamma - data.gamma, self.error, out=np.zeros_like(gamma), where=varies)
        return np.asarray(np.sum(terms + 0.5 * pull**2, axis=1))

    def _expected(self, theta: FloatArray) -> _Expected:
        mu, alpha = theta[:, 0], theta[:, 1:]
        weights = additive(alpha)
        logarithm, by_alpha, bend = self.factors.at(alpha)
        rates = np.exp(logarithm.sum(axis=1))  # [t, s]
        nu = np.zeros((len(theta), self.bins))
        slopes = np.zeros((*theta.shape, self.bins))
        contents = []
        for s, is_signal in enumerate(self.signal):
            shape = self.nominal[s] + weights[0, 0] @ self.up[s] + weights[0, 1] @ self.down[s]
            unscaled = rates[:, s, None] * shape
            rate = rates[:, s] * mu if is_signal else rates[:, s]
            slopes[:, 1:] += rate[:, None, None] * (
                weights[1, 0][..., None] * self.up[s]
                + weights[1, 1][..., None] * self.down[s]
                + by_alpha[:, :, s, None] * shape[:, None]
            )
            if is_signal:
                slopes[:, 0] += unscaled
            nu += mu[:, None] * unscaled if is_signal else unscaled
            contents.append(shape)
        return _Expected(nu, slopes, contents, rates, weights, by_alpha, bend)

    def _bend(self, at: _Expected, theta: FloatArray, by_nu: FloatArray, hessian: FloatArray) -> None:
        """Add sum_b d(-ln L)/d(nu_b) times the second derivatives of nu_b to the Hessian."""
        diagonal = np.arange(1, theta.shape[1])
        for s, is_signal in enumerate(self.signal):
            total = np.einsum("tb,tb->t", by_nu, at.contents[s])[:, None]
            up, down = by_nu @ self.up[s].T, by_nu @ self.down[s].T  # [t, p]
            shape = at.weights[1, 0] * up + at.weights[1, 1] * down
            rate, log_slope = at.rates[:, s, None], at.by_alpha[:, :, s]
            scale = rate * theta[:, :1] if is_signal else rate
            part = log_slope[:, :, None] * (total * log_slope + shape)[:, None, :]
            part += shape[:, :, None] * log_slope[:, None, :]
            hessian[:, 1:, 1:] += scale[..., None] * part
            second = at.weights[2, 0] * up + at.weights[2, 1] * down + at.bend[:, :, s] * total
            hessian[:, diagonal, diagonal] += scale * second
            if is_signal:
                cross = rate * (shape + log_slope * total)
                hessian[:, 0, 1:] += cross
                hessian[:, 1:, 0] += cross


def fit(model: Model, data: Observations, start: FloatArray | None = None, free: np.ndarray | None = None) -> Minimum:
    """Fit mu and the alphas to every data set; start [t, 1 + p] (default mu = 1), free [t, 1 + p] as in `minimise`."""
    if start is None:
        start = np.zeros((len(data.observed), 1 + len(model.names)))
        start[:, 0] = 1.0
    largest = np.full(start.shape[1], _LONGEST)
    largest[0] = np.inf
    return minimise(lambda theta, rows: model.derivatives(theta, data[rows]), start, free, largest)
