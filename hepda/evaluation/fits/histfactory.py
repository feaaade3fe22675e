"""The likelihood of HistFactory in numpy, for many data sets in parallel, with all derivatives.

    n_i ~ Poisson(g_i nu_i),   nu_i = sum over samples of [k_s] prod_p f_ps(alpha_p) (h_si + sum_p d_psi(alpha_p)),

with a free factor k_s on some samples (mu on the signal, free rates of processes), rates f and shapes d interpolated
as in `interpolation`, alpha_p ~ Normal(0, 1), and one factor g_i ~ Normal(1, d_i) per bin for the templates' statistics
(Barlow-Beeston lite: Conway, arXiv:1103.0354). Bins i are those of all regions; rates f are those of a sample in a
region. It is the likelihood of the workspace that `fitting` gives to pyhf; tests compare the two. The g_i are profiled
in closed form,

    g = [a - nu d^2 + sqrt((a - nu d^2)^2 + 4 n d^2)] / 2   (a: the centre of the constraint, nominally 1),

so that a fit has q = k + p parameters: mu, the other free factors, and the alphas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepda.errors import DataError
from hepda.evaluation.fits.numerics.expectation import Blocks, Row, RowByRow
from hepda.evaluation.fits.numerics.interpolation import RateFactors
from hepda.evaluation.fits.numerics.newton import Derivatives, Minimum, Rows, minimise, solve
from hepda.evaluation.fits.templates import Templates
from hepda.results.evaluation import FloatArray

_LONGEST = 2.0  # longest step of an alpha, because rates are exponentials of it
_SINGULAR = 1e-10  # eigenvalue of the information matrix with a diagonal of ones, below which it is singular
_UNKNOWN = 10.0  # error of a free rate, relative to the prediction, at which the data do not constrain it


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
class Model:
    """Templates as arrays: r rows, b bins of all channels, k free factors, and the p systematics that have an effect.

    A point theta [q] has the free factors, mu first, and then the systematics.
    """

    rates: tuple[str, ...]  # of the free factors [k]
    names: tuple[str, ...]  # of the systematics [p]
    expectation: RowByRow | Blocks  # the rows: samples, channel by channel
    error: FloatArray  # [b], the relative error d of the templates' statistics

    @classmethod
    def of(cls, templates: Templates) -> Model:
        """Build the model from templates.

        Raises:
            DataError: a bin cannot be fitted (`Templates.check`), or no region constrains a free rate.

        """
        templates.check()
        model = cls.unchecked(templates)
        if len(model.rates) > 1:
            model.check_rates(templates)
        return model

    @classmethod
    def unchecked(cls, templates: Templates) -> Model:
        """Build the model from templates that are not fitted."""
        names, rates, slices = templates.active, templates.rates, templates.slices
        samples = [(slices[channel.name], sample) for channel in templates.channels for sample in channel.samples]
        factors = np.ones((2, len(names), len(samples)))
        rows = []
        for r, (bins, sample) in enumerate(samples):
            up, down = np.zeros((2, len(names), len(sample.sumw)))
            for p, name in enumerate(names):
                factors[:, p, r], (high, low) = sample.split(name)
                up[p], down[p] = high - sample.sumw, sample.sumw - low
            rows.append(Row(bins, None if sample.rate is None else rates.index(sample.rate), sample.sumw, up, down))
        of = RowByRow if len(templates.channels) == 1 else Blocks
        expectation = of(tuple(rows), RateFactors.of(*factors), len(rates), templates.bins)
        return cls(rates, names, expectation, templates.statistical_error)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names [q] of the free factors and the systematics."""
        return (*self.rates, *self.names)

    @property
    def start(self) -> FloatArray:
        """The nominal point [q]: free factors 1, systematics 0."""
        return np.concatenate([np.ones(len(self.rates)), np.zeros(len(self.names))])

    def check_rates(self, templates: Templates) -> None:
        """Raise DataError that names free rates which no region constrains, from the information at the start.

        A strength may have a large error: its signal may be small everywhere.
        """
        information = self.derivatives(self.start[None], self.nominally(templates.total()[None])).hessian[0]
        scale = np.sqrt(information.diagonal())
        if not scale.all():
            missing = ", ".join(name for name, s in zip(self.parameters, scale, strict=True) if s == 0)
            raise DataError(f"no bin of the fit depends on {missing}")
        values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
        if values[0] < _SINGULAR:
            alike = [name for name, v in zip(self.parameters, vectors[:, 0], strict=True) if abs(v) > 0.1]
            raise DataError(
                f"the fit cannot tell {' and '.join(alike)} apart: they change the expected events of every fitted bin "
                "in proportion; add a region where the share of one is larger, or give it a prior (kind: norm)"
            )
        errors = np.sqrt(np.sum(vectors**2 / values, axis=1)) / scale
        unknown = {
            name: error
            for name, error in zip(self.parameters, errors, strict=True)
            if error > _UNKNOWN and name in self.rates and name not in templates.signals
        }
        if unknown:
            named = ", ".join(f"{name} (expected error {error:.3g}, where 1 is the prediction)"
                              for name, error in unknown.items())  # fmt: skip
            raise DataError(
                f"no fitted region constrains the free rate {named}; add a region where its process is a large part of "
                "the events, or give it a prior (kind: norm)"
            )

    @property
    def bins(self) -> int:
        """Number of bins."""
        return len(self.error)

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
        """Return the expected events nu [t, b] at theta [t, q], without the factors g."""
        return self.expectation.at(theta).nu

    def by_row(self, theta: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
        """Return expected events [b] of each row at one point theta [q], and their derivatives [q, b], in its bins."""
        parts = []
        for r, row in enumerate(self.expectation.rows):
            factors = self.expectation.factors.of_row(r)
            at = RowByRow((row,), factors, len(self.rates), self.bins).at(theta[None])
            parts.append((at.nu[0, row.bins], at.slopes[0, :, row.bins]))
        return parts

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
        """Return -ln L and its derivatives at theta [t, q]; it is 0 for a perfect description.

        It is infinite where a bin expects no events. `positive` replaces each bin's curvature by its expectation.
        """
        at = self.expectation.at(theta)
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
        free_factors = len(self.rates)
        pull = theta[:, free_factors:] - data.alpha
        gradient = (at.slopes @ by_nu[:, :, None])[:, :, 0]
        gradient[:, free_factors:] += pull
        constraint = np.diag(np.arange(theta.shape[1]) >= free_factors).astype(np.float64)
        turned = at.slopes.transpose(0, 2, 1)
        hessian = (at.slopes * curvature[:, None]) @ turned + constraint
        self.expectation.add_bend(at, theta, by_nu, hessian)
        positive = (at.slopes * (information + 1e-12)[:, None]) @ turned + constraint
        value = self._value(nu, gamma, data) + 0.5 * np.einsum("tp,tp->t", pull, pull)
        return Derivatives(np.where(allowed, value, np.inf), gradient, hessian, positive)

    def response(self, theta: FloatArray, data: Observations, hessian: FloatArray) -> FloatArray:
        """Return d(mu) / d(n) at the best fit [t, b]: -H^-1 d(gradient) / dn, by the implicit function theorem."""
        at = self.expectation.at(theta)
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


def fit(model: Model, data: Observations, start: FloatArray | None = None, free: np.ndarray | None = None) -> Minimum:
    """Fit all parameters to every data set; start [t, q] (default: nominal), free [t, q] as in `minimise`."""
    if start is None:
        start = np.repeat(model.start[None], len(data.observed), axis=0)
    largest = np.where(np.arange(start.shape[1]) < len(model.rates), np.inf, _LONGEST)
    return minimise(lambda theta, rows: model.derivatives(theta, data[rows]), start, free, largest)
