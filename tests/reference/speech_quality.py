"""Segmental SNR, LLR, WSS and mel-cepstral distance frame by frame, with loops, from the published formulas."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import solve_toeplitz, toeplitz

BANDS = [
    (50, 70), (120, 70), (190, 70), (260, 70), (330, 70), (400, 70), (470, 70), (540, 77.3724), (617.372, 86.0056),
    (703.378, 95.3398), (798.717, 105.411), (904.128, 116.256), (1020.38, 127.914), (1148.30, 140.423),
    (1288.72, 153.823), (1442.54, 168.154), (1610.70, 183.457), (1794.16, 199.776), (1993.93, 217.153),
    (2211.08, 235.631), (2446.71, 255.255), (2701.97, 276.072), (2978.04, 298.126), (3276.17, 321.465),
    (3597.63, 346.136),
]  # fmt: skip
EPS = 2.0**-52


def frames_of(samples, rate):
    window = math.floor(30 * rate / 1000 + 0.5)
    hop = window // 4
    number = math.floor(len(samples) / hop - window / hop + 1e-9)
    hann = np.array([0.5 * (1 - math.cos(2 * math.pi * i / (window + 1))) for i in range(1, window + 1)])
    return [samples[k * hop : k * hop + window] * hann for k in range(number)]


def mean_of_smallest(values):
    values = sorted(values)
    return sum(values[: math.floor(0.95 * len(values) + 0.5)]) / math.floor(0.95 * len(values) + 0.5)


def segmental_snr(clean, estimate, rate):
    ratios = []
    for s, x in zip(frames_of(clean, rate), frames_of(estimate, rate), strict=True):
        ratio = 10 * math.log10(sum(s * s) / (sum((s - x) ** 2) + EPS) + EPS)
        ratios.append(min(max(ratio, -10), 35))
    return sum(ratios) / len(ratios)


def log_likelihood_ratio(clean, estimate, rate, limit=2.0):
    order = 10 if rate < 10000 else 16
    distances = []
    for s, x in zip(frames_of(clean, rate), frames_of(estimate, rate), strict=True):
        lags_s, lags_x = (np.correlate(f, f, "full")[len(f) - 1 : len(f) + order] for f in (s, x))
        a_s, a_x = (np.r_[1, -solve_toeplitz(lags[:-1], lags[1:])] for lags in (lags_s, lags_x))
        matrix = toeplitz(lags_s)
        distances.append(min(math.log((a_x @ matrix @ a_x) / (a_s @ matrix @ a_s)), limit))
    return mean_of_smallest(distances)


def nearest_peak(levels, i):
    """The level of the band that comp_wss.m takes for the peak nearest to the slope from band i to band i + 1."""
    rises = [levels[k + 1] > levels[k] for k in range(24)]
    n = i
    if rises[i]:
        while n < 24 and rises[n]:
            n += 1
        return levels[n - 1]
    while n >= 0 and not rises[n]:
        n -= 1
    return levels[n + 1]


def weighted_spectral_slope(clean, estimate, rate):
    distances = []
    for pair in zip(frames_of(clean, rate), frames_of(estimate, rate), strict=True):
        size = 1
        while size < 2 * len(pair[0]):
            size *= 2
        levels = []
        for frame in pair:
            power = np.abs(np.fft.fft(frame, size)) ** 2
            energies = []
            for centre, width in BANDS:
                middle, energy = math.floor(centre / (rate / 2) * size / 2), 0.0
                for j in range(size // 2):
                    gain = math.exp(-11 * ((j - middle) / (width / (rate / 2) * size / 2)) ** 2) * 70 / width
                    energy += power[j] * gain if gain > math.exp(-30 / (2 * 2.303)) else 0.0
                energies.append(10 * math.log10(max(energy, 1e-10)))
            levels.append(energies)
        total = weights = 0.0
        for i in range(24):
            weight = sum(
                20 / (20 + max(level) - level[i]) * 1 / (1 + nearest_peak(level, i) - level[i]) for level in levels
            )
            slope, other = (level[i + 1] - level[i] for level in levels)
            total, weights = total + weight * (slope - other) ** 2, weights + weight
        distances.append(total / weights)
    return mean_of_smallest(distances)


def mel_cepstral_distance(clean, estimate, rate, coefficients=13):
    """40 triangles between 60 Hz and half the rate; frames as long as the next power of two above 25 ms."""
    width, hop = round(0.025 * rate), round(0.010 * rate)
    size = 2 ** math.ceil(math.log2(width))
    first = (size - width) // 2
    top, bottom = (2595 * math.log10(1 + f / 700) for f in (rate / 2, 60))
    edges = [700 * (10 ** ((bottom + (top - bottom) * k / 41) / 2595) - 1) for k in range(42)]
    distances = []
    for begin in range(0, len(clean) - size + 1, hop):
        cepstra = []
        for samples in (clean, estimate):
            frame = np.zeros(size)
            for i in range(width):
                frame[first + i] = samples[begin + first + i] * 0.5 * (1 - math.cos(2 * math.pi * i / width))
            power = np.abs(np.fft.rfft(frame)) ** 2
            logs = []
            for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False):
                energy = 0.0
                for j, value in enumerate(power):
                    f = j * rate / size
                    energy += max(0.0, min((f - low) / (middle - low), (high - f) / (high - middle))) * value
                logs.append(math.log(max(energy, 1e-8)))
            cepstra.append(
                [
                    sum(v * math.cos(math.pi * m * (b + 0.5) / 40) for b, v in enumerate(logs)) / 40
                    for m in range(1, coefficients + 1)
                ]
            )
        square = sum((c - d) ** 2 for c, d in zip(*cepstra, strict=True))
        distances.append(10 / math.log(10) * math.sqrt(2 * square))
    return sum(distances) / len(distances)
