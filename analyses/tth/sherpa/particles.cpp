// Run Sherpa 3, and write the particles of its events as text: generate.py reads them.
//
//     particles OUTPUT EVENTS all|extra_b [options of Sherpa, such as -f CARD -R SEED]
//
// For every event with a lepton that can pass the selection (and, with `extra_b`, an extra b quark):
//
//     E number weight n
//     id mother stable px py pz energy        n lines, momenta in GeV
//
// - stable particles: stable = 1. Mother is 24 for the electron or muon of the W, else 0.
// - hadrons with a b or c quark, whether they decay or not: stable = 0 for those that decay.
// - quarks of the decays of top quarks, W and Higgs bosons after the shower: stable = 0, mother 6, 24 or 25.
// - other b quarks after the shower: stable = 0, mother 21. These are the extra ones.
//
// The last line is `S events sum_of_weights cross_section error`: of all events, also of those that are not written.
// Weights are relative to those of the unweighted sample, so nearly all are 1; the cross section is in pb.
//
// This source is under the licence of the repository. Sherpa is under the GPL, version 3, and so is a program that is
// linked with it: it is built where it is used (get.sh) and is no part of a package.

#include "ATOOLS/Phys/Blob_List.H"
#include "ATOOLS/Phys/Particle_List.H"
#include "SHERPA/Main/Sherpa.H"
#include "SHERPA/Single_Events/Event_Handler.H"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

using ATOOLS::Blob;
using ATOOLS::Blob_List;
using ATOOLS::btp;
using ATOOLS::Particle;

namespace {

constexpr double kLeptonPt = 18.0, kLeptonEta = 2.75;  // looser than the selection: 27 GeV and 2.5
constexpr double kFilterPt = 10.0;                      // GeV, of an extra b quark: FILTER_PT of generate.py

struct Line {
  const Particle *particle;
  long mother;
  int stable;
};

long code(const Particle *particle) { return static_cast<long>(particle->Flav()); }

// Does a hadron contain a b or a c quark? By the digits of its PDG number, as in generate.py.
bool is_heavy(long id) {
  const long number = std::labs(id);
  if (number <= 100 || number >= 100000) return false;
  const long meson = number / 100 % 10, baryon = number / 1000 % 10;
  return meson == 4 || meson == 5 || baryon == 4 || baryon == 5;
}

// What an event needs beside its stable particles.
struct Record {
  std::vector<Line> lines;
  const Particle *lepton = nullptr;
  bool extra_b = false;
};

Record record_of(Blob_List &blobs) {
  Record record;
  std::map<long, std::vector<long>> mothers;  // signed quark -> the mothers of those that decays made
  std::vector<Particle *> partons;
  for (Blob *blob : blobs) {
    if (blob->Type() == btp::Hard_Decay && blob->NInP() == 1) {
      const long mother = std::labs(code(blob->InParticle(0)));
      for (Particle *quark : blob->GetOutParticles())
        if (std::labs(code(quark)) <= 5) mothers[code(quark)].push_back(mother);
    } else if (blob->Type() == btp::Shower) {
      for (Particle *parton : blob->GetOutParticles())
        if (parton->Info() == 'F') partons.push_back(parton);
    }
  }
  // The hardest ones first: a quark of a decay before one of a gluon that the decay radiated.
  std::stable_sort(partons.begin(), partons.end(), [](const Particle *a, const Particle *b) {
    return a->Momentum().PPerp2() > b->Momentum().PPerp2();
  });
  for (const Particle *parton : partons) {
    const long id = code(parton), number = std::labs(id);
    if (parton->FromDec() && (number == 11 || number == 13) && record.lepton == nullptr) record.lepton = parton;
    if (number > 5) continue;
    std::vector<long> &expected = mothers[id];
    if (parton->FromDec() && !expected.empty()) {
      record.lines.push_back({parton, expected.back(), 0});
      expected.pop_back();
    } else if (number == 5) {
      record.lines.push_back({parton, 21, 0});
      if (parton->Momentum().PPerp() > kFilterPt) record.extra_b = true;
    }
  }
  return record;
}

void add_hadrons(Blob_List &blobs, std::vector<Line> &lines) {
  for (Blob *blob : blobs)
    if (blob->Type() == btp::Fragmentation || blob->Type() == btp::Cluster_Decay || blob->Type() == btp::Hadron_Decay)
      for (const Particle *hadron : blob->GetOutParticles())
        if (hadron->DecayBlob() != nullptr && is_heavy(code(hadron))) lines.push_back({hadron, 0, 0});
}

}  // namespace

int main(int argc, char **argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s OUTPUT EVENTS all|extra_b [options of Sherpa]\n", argv[0]);
    return 2;
  }
  const char *output = argv[1];
  const long events = std::atol(argv[2]);
  const bool filtered = std::string(argv[3]) == "extra_b";
  argv[3] = argv[0];
  SHERPA::Sherpa sherpa(argc - 3, argv + 3);
  if (!sherpa.InitializeTheRun() || !sherpa.InitializeTheEventHandler()) return 1;
  std::FILE *file = std::fopen(output, "w");
  if (file == nullptr) return 1;
  double sum = 0.0;
  long made = 0;
  for (long failed = 0; made < events;) {
    if (!sherpa.GenerateOneEvent()) {
      if (++failed > 1000 + events) return 1;
      continue;
    }
    ++made;
    auto &blobs = const_cast<Blob_List &>(sherpa.GetBlobList());
    Blob *signal = blobs.FindFirst(btp::Signal_Process);
    const double weight = blobs.Weight() / (*signal)["Weight_Norm"]->Get<double>();
    sum += weight;
    Record record = record_of(blobs);
    const Particle *lepton = record.lepton;
    if (lepton == nullptr || lepton->Momentum().PPerp() < kLeptonPt || std::abs(lepton->Momentum().Eta()) > kLeptonEta)
      continue;
    if (filtered && !record.extra_b) continue;
    add_hadrons(blobs, record.lines);
    for (const Particle *particle : blobs.ExtractLooseParticles(1))
      record.lines.push_back({particle, particle == lepton ? 24L : 0L, 1});
    std::fprintf(file, "E %ld %.6g %zu\n", made, weight, record.lines.size());
    for (const Line &line : record.lines) {
      const auto &p = line.particle->Momentum();
      std::fprintf(file, "%ld %ld %d %.6g %.6g %.6g %.6g\n", code(line.particle), line.mother, line.stable, p[1], p[2],
                   p[3], p[0]);
    }
  }
  const auto total = sherpa.GetEventHandler()->TotalNominalXS();
  std::fprintf(file, "S %ld %.10g %.6g %.3g\n", made, sum, total.value, total.error);
  std::fclose(file);
  sherpa.SummarizeRun();
  return 0;
}
