"""The 20 features of benchmarks/reading.py by ROOT's RDataFrame: formulas in C++, compiled just in time, and AsNumpy.

    python benchmarks/reading_rdataframe.py THREADS REPEATS FILE FILE ...   # JSON lines: events, CPU and wall seconds

It does not import hepda, so that it runs in an environment that has ROOT. The formulas are compiled before the clock
starts; the code that RDataFrame compiles for each chain counts, as it does in an analysis.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import ROOT

FORMULAS = r"""
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>
#include "ROOT/RVec.hxx"
using Floats = ROOT::RVec<float>;
using Tags = ROOT::RVec<signed char>;
struct Jet { double px, py, pz, energy, pt, eta, phi; int tag; };
double wrapped(double phi) { return phi - 2 * M_PI * std::rint(phi / (2 * M_PI)); }
double root_of(double square) { return std::sqrt(std::max(square, 0.)); }

std::array<float, 20> features_of(const Floats& pt, const Floats& eta, const Floats& phi, const Floats& mass,
    const Tags& tag, float lepton_pt, float lepton_eta, float lepton_phi, float met, float met_phi) {
  std::vector<Jet> jets;
  std::vector<int> bins;
  jets.reserve(pt.size());
  bins.reserve(pt.size());
  double ht = 0, x = 0, y = 0, z = 0, e = 0;
  int n70 = 0, n77 = 0, sum = 0;
  for (size_t i = 0; i < pt.size(); ++i) {
    if (!(pt[i] > 25)) continue;
    const double p = pt[i], px = p * std::cos(phi[i]), py = p * std::sin(phi[i]), pz = p * std::sinh((double)eta[i]);
    const double energy = std::sqrt(px * px + py * py + pz * pz + (double)mass[i] * mass[i]);
    jets.push_back({px, py, pz, energy, p, eta[i], phi[i], tag[i]});
    bins.push_back(tag[i]);
    ht += p; x += px; y += py; z += pz; e += energy; n70 += tag[i] >= 3; n77 += tag[i] >= 2;
  }
  const int n = jets.size(), some = std::min(n, 4);
  const float first = n > 0 ? jets[0].pt : -1, third = n > 2 ? jets[2].pt : -1, fifth = n > 4 ? jets[4].pt : -1;
  std::sort(bins.begin(), bins.end(), std::greater<int>());
  for (int i = 0; i < std::min(n, 5); ++i) sum += bins[i];
  std::stable_sort(jets.begin(), jets.end(),
      [](const Jet& a, const Jet& b) { return a.tag + a.pt / 100000 > b.tag + b.pt / 100000; });
  double nearest = 1e30, closest = -1, heaviest = -1, total = 0, widest = -1;
  int pairs = 0;
  for (int i = 0; i < some; ++i) for (int j = i + 1; j < some; ++j) {
    const Jet &a = jets[i], &b = jets[j];
    const double E = a.energy + b.energy, X = a.px + b.px, Y = a.py + b.py, Z = a.pz + b.pz;
    const double m = root_of(E * E - X * X - Y * Y - Z * Z), d = std::abs(a.eta - b.eta), f = wrapped(a.phi - b.phi);
    const double r = std::sqrt(d * d + f * f);
    if (r < nearest) { nearest = r; closest = m; }
    heaviest = std::max(heaviest, m); widest = std::max(widest, d); total += r; ++pairs;
  }
  double apart = -1;
  if (n > 1) {
    const double X = jets[0].px + jets[1].px, Y = jets[0].py + jets[1].py, Z = jets[0].pz + jets[1].pz;
    const double d = lepton_eta - std::asinh(Z / std::sqrt(X * X + Y * Y)), f = wrapped(lepton_phi - std::atan2(Y, X));
    apart = std::sqrt(d * d + f * f);
  }
  const double mt = std::sqrt(2. * lepton_pt * met * (1 - std::cos((double)lepton_phi - met_phi)));
  return {(float)n, (float)n70, (float)n77, n > 2 ? (float)bins[2] : -1, (float)sum, (float)ht, first, third, fifth,
      (float)closest, (float)heaviest, pairs ? (float)nearest : -1, pairs ? (float)(total / pairs) : -1, (float)widest,
      (float)root_of(e * e - x * x - y * y - z * z), (float)(ht / e), (float)apart, lepton_pt, met, (float)mt};
}
"""
ARGUMENTS = "jet_pt, jet_eta, jet_phi, jet_mass, jet_b, lepton_pt, lepton_eta, lepton_phi, met, met_phi"


def read(paths: list[str]) -> dict[str, np.ndarray]:
    """Return all features, weights and keys, by name."""
    frame = ROOT.RDataFrame("events", paths).Define("all", f"features_of({ARGUMENTS})")
    names = [f"feature{i}" for i in range(20)]
    for i, name in enumerate(names):
        frame = frame.Define(name, f"all[{i}]")
    return frame.Define("weight", "gen_weight * b_weight").AsNumpy([*names, "weight", "run", "event"])


if __name__ == "__main__":
    threads, repeats = int(sys.argv[1]), int(sys.argv[2])
    if threads > 1:
        ROOT.EnableImplicitMT(threads)
    ROOT.gInterpreter.Declare(FORMULAS)
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        table = read(sys.argv[3:])
        about = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        sums = [float(table[f"feature{i}"].sum(dtype=np.float64)) for i in range(20)]
        print(json.dumps({"events": len(table["weight"]), **about, "sums": sums}), flush=True)
