"""Which domains count as held out."""

from pathlib import Path

from hepda.config import load_config
from hepda.events.domains.held_out import held_out
from tests.factory import write_analysis


def test_a_domain_is_held_out_if_all_of_its_simulation_is(tmp_path: Path) -> None:
    page = write_analysis(tmp_path, n=10)
    samples = load_config(page).samples
    assert {s.use for s in samples.values() if s.domain == "third"} == {"evaluate"}
    assert held_out(samples) == ("third",)
    one = load_config(page, ["samples.background_alt.use=evaluate", "models={bdt: {kind: bdt}}"])
    assert held_out(one.samples) == ("third",)
    both = load_config(page, ["samples.background_alt.use=evaluate", "samples.signal_alt.use=evaluate",
                              "models={bdt: {kind: bdt}}"])  # fmt: skip
    assert held_out(both.samples) == ("alternative", "third")
    labels = {"files": "labels.root", "signal": "is_signal == 1"}
    with_truth = load_config(page, [f"samples.data.truth={labels}"])
    assert held_out(with_truth.samples) == ("third",)
    assert held_out(with_truth.samples, with_truth=True) == ("third", "data")
