// Run Sherpa 3, and write the particles of its events as text: generate.py reads them.
//
//     particles OUTPUT EVENTS all|extra_b [options of Sherpa, such as -f CARD -R SEED]
//
// For every event with a lepton that can pass the selection (and, with `extra_b`, an extra b quark; what cannot pass is
// dropped as early as possible, before the shower or before the hadrons):
//
//     E number weight n
//     id mother stable px py pz energy        n lines, momenta in GeV
//
// - stable particles: stable = 1. Mother is 24 for the electron or muon of the W, else 0.
// - hadrons with a b or c quark, whether they decay or not: stable = 0 for those that decay.
// - quarks of the decays of top quarks, W and Higgs bosons after the shower: stable = 0, mother 6, 24 or 25.
// - other b quarks after the shower: stable = 0, mother 21. These are the extra ones.
//
// The last line is `S events sum_of_weights`: of all events, also of those that are not written.
// Weights are relative to those of the unweighted sample, so nearly all are 1.
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
#include <functional>
#include <map>
#include <string>
#include <utility>
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

// The electron or muon of the hard decays, before the shower; null until they are made.
const Particle *lepton_of_decay(Blob_List &blobs) {
  for (Blob *blob : blobs)
    if (blob->Type() == btp::Hard_Decay)
      for (const Particle *particle : blob->GetOutParticles()) {
        const long number = std::labs(code(particle));
        if (number == 11 || number == 13) return particle;
      }
  return nullptr;
}

bool can_pass(const Particle *lepton) {
  return lepton->Momentum().PPerp() > kLeptonPt && std::abs(lepton->Momentum().Eta()) < kLeptonEta;
}

double weight_of(Blob_List &blobs) {
  return blobs.Weight() / (*blobs.FindFirst(btp::Signal_Process))["Weight_Norm"]->Get<double>();
}

// A step of the generation that drops events which cannot be selected, and counts them as made.
class Veto : public SHERPA::Event_Phase_Handler {
 public:
  Veto(const std::string &name, std::function<bool(Blob_List &)> drops)
      : SHERPA::Event_Phase_Handler(name), drops_(std::move(drops)) {
    SetType(SHERPA::eph::Perturbative);
  }
  ATOOLS::Return_Value::code Treat(Blob_List *blobs) override {
    if (!drops_(*blobs)) return ATOOLS::Return_Value::Nothing;
    ++dropped;
    sum_of_weights += weight_of(*blobs);
    return ATOOLS::Return_Value::New_Event;
  }
  void CleanUp(const size_t &) override {}
  void Finish(const std::string &) override {}

  long dropped = 0;
  double sum_of_weights = 0.0;

 private:
  std::function<bool(Blob_List &)> drops_;
};

// Sherpa appends a new step at the end; these belong before the shower and before the hadrons, so the list of steps,
// which is private, is needed. An explicit instantiation may name a private member.
template <auto Member>
struct Opened {
  friend SHERPA::Phase_List *steps_of(SHERPA::Event_Handler &handler) { return handler.*Member; }
};
template struct Opened<&SHERPA::Event_Handler::p_phases>;
SHERPA::Phase_List *steps_of(SHERPA::Event_Handler &handler);

// Put `veto` before the first step whose name begins with `name`; false if there is none. The list owns it.
bool insert_before(SHERPA::Event_Handler &handler, const std::string &name, Veto *veto) {
  SHERPA::Phase_List &steps = *steps_of(handler);
  const auto place = std::find_if(steps.begin(), steps.end(), [&name](const SHERPA::Event_Phase_Handler *step) {
    return step->Name().compare(0, name.size(), name) == 0;
  });
  if (place == steps.end()) return false;
  steps.insert(place, veto);
  return true;
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
  auto *soft_lepton = new Veto("Lepton", [](Blob_List &blobs) {
    const Particle *lepton = lepton_of_decay(blobs);
    return lepton != nullptr && blobs.FindFirst(btp::Shower) == nullptr && !can_pass(lepton);
  });
  auto *no_extra_b = new Veto("Extra_b", [filtered](Blob_List &blobs) { return filtered && !record_of(blobs).extra_b; });
  if (!insert_before(*sherpa.GetEventHandler(), "Jet_Evolution", soft_lepton) ||
      !insert_before(*sherpa.GetEventHandler(), "Beam_Remnants", no_extra_b)) {
    std::fprintf(stderr, "this version of Sherpa has other steps\n");
    return 1;
  }
  std::FILE *file = std::fopen(output, "w");
  if (file == nullptr) return 1;
  double sum = 0.0;
  long kept = 0;
  const auto made = [&] { return kept + soft_lepton->dropped + no_extra_b->dropped; };
  for (long failed = 0; made() < events;) {
    if (!sherpa.GenerateOneEvent()) {
      if (++failed > 1000 + events) return 1;
      continue;
    }
    ++kept;
    auto &blobs = const_cast<Blob_List &>(sherpa.GetBlobList());
    const double weight = weight_of(blobs);
    sum += weight;
    Record record = record_of(blobs);
    const Particle *lepton = record.lepton;
    if (lepton == nullptr || !can_pass(lepton)) continue;
    add_hadrons(blobs, record.lines);
    for (const Particle *particle : blobs.ExtractLooseParticles(1))
      record.lines.push_back({particle, particle == lepton ? 24L : 0L, 1});
    std::fprintf(file, "E %ld %.6g %zu\n", made(), weight, record.lines.size());
    for (const Line &line : record.lines) {
      const auto &p = line.particle->Momentum();
      std::fprintf(file, "%ld %ld %d %.6g %.6g %.6g %.6g\n", code(line.particle), line.mother, line.stable, p[1], p[2],
                   p[3], p[0]);
    }
  }
  const double vetoed = soft_lepton->sum_of_weights + no_extra_b->sum_of_weights;
  std::fprintf(file, "S %ld %.10g\n", made(), sum + vetoed);
  std::fclose(file);
  sherpa.SummarizeRun();
  return 0;
}
