"""Tables that are kept: the second run opens no file, any change reads again, and runs do not disturb each other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hepda.config import load_config
from hepda.errors import ConfigError, DataError, ExpressionError, HepdaError, SourceError, StorageError
from hepda.events.dataset import load, spans
from hepda.events.dataset.load import LoadedEvents, load_table
from hepda.events.files.opening import EventFile
from hepda.events.resolve import dataset_spec
from hepda.events.table import cache, fingerprint
from hepda.events.table.store import ROWS, TableWriter, open_table
from hepda.runtime.resources import Resources
from tests.factory import analysis, write_analysis, write_sample

N = 90
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files")
    write_analysis(path, N)
    return path


@pytest.fixture
def folder(files: Path, tmp_path: Path) -> Path:
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    return tmp_path


def loaded(where: Path, *overrides: str, **settings: Any) -> LoadedEvents:
    resources = Resources(**({"cache": where / "cache"} | settings))
    return load_table(dataset_spec(load_config(where / "small.yaml", overrides)), resources=resources)


def name_of(where: Path, *overrides: str) -> str | None:
    config = load_config(where / "small.yaml", overrides)
    files = {name: list(sample.files) for name, sample in config.samples.items()}
    return fingerprint.table_name(dataset_spec(config), files, fingerprint.states_of(files))


def same_table(first: Any, second: Any) -> None:
    for name in ROWS:
        assert getattr(first, name).dtype == getattr(second, name).dtype
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert list(first.columns) == list(second.columns)
    for name, values in first.columns.items():
        assert values.dtype == second.columns[name].dtype
        np.testing.assert_array_equal(values, second.columns[name])


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("a file of events was opened")


def test_the_second_run_opens_no_file_and_finds_all_that_the_first_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = load_table(dataset_spec(load_config(folder / "small.yaml")))
    first = loaded(folder)
    assert "kept in" in first.note and "1 table, any" in first.note
    monkeypatch.setattr(EventFile, "do", refuse)
    again = loaded(folder)
    assert "taken from" in again.note and again.folder == first.folder
    for one in (first, again):
        assert isinstance(one.table.features, np.memmap)
        same_table(one.table, plain.table)
        assert one.samples == plain.samples and one.files == plain.files
        assert one.manifest() == plain.manifest()


def test_what_makes_no_row_reads_nothing_again(folder: Path) -> None:
    """Other trainings and figures find the table; other expressions, weights, files and splits do not."""
    free = (
        "training.epochs=7", "seed=5", "models.dann.domain.strength=3", "evaluation.bootstrap=20", "plots={}",
        "samples.signal.label=x", "models.bdt.iterations=7", "negative_weights=drop",
    )  # fmt: skip
    bound = (
        "variables.ht=2*sum(jet_pt)", "selection=n_jets >= 6", "weight=gen_weight", "missing=-2", "luminosity=11",
        "features=[ht, n_jets]", "samples.signal.k_factor=2", "samples.data.domain=other", "split.folds=3",
        "samples.signal.aliases={pt: jet_pt}", "columns={l: lepton_pt}", "models.dann.domain.selection=n_jets > 5",
    )  # fmt: skip
    no_bias = "evaluation.bias=null"
    names = [name_of(folder, override, no_bias) for override in bound]
    assert {name_of(folder, override) for override in free} == {name_of(folder)}
    assert len({*names, name_of(folder)}) == len(bound) + 1
    before = name_of(folder)
    os.utime(folder / "third.root", (1, 1))
    assert name_of(folder) not in {None, before}
    loaded(folder)
    assert "taken from" in loaded(folder, *free).note and "kept in" in loaded(folder, *bound[:3]).note


def test_another_file_and_another_hepda_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = loaded(folder)
    write_sample(folder / "third.root", N, 9, signal=False, cross_section=20.0)
    after = loaded(folder)
    assert "kept in" in after.note and after.folder != before.folder
    assert not np.array_equal(after.table.key, before.table.key)
    monkeypatch.setattr(fingerprint, "data_version", lambda: "another")
    assert "kept in" in loaded(folder).note
    monkeypatch.setattr(fingerprint, "state_of", lambda path: None)  # a server that does not tell
    assert loaded(folder).folder is None


def test_registered_functions_are_part_of_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hepda.events.expressions import user_functions

    def versions() -> list[str]:
        for cached in (user_functions._entries, fingerprint.data_version):
            cached.cache_clear()
        return [fingerprint.data_version(), *user_functions.registered_versions()]

    place = tmp_path / "hepda_own-1.dist-info"
    place.mkdir()
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: hepda-own\nVersion: 1\n")
    (place / "entry_points.txt").write_text("[hepda.functions]\ntwice = hepda_own:twice\n")
    module = tmp_path / "hepda_own.py"
    module.write_text("def twice(x):\n    return 2 * x\n")
    without = versions()
    monkeypatch.syspath_prepend(tmp_path)
    first = versions()
    module.write_text("def twice(x):\n    return x + x\n")
    second = versions()
    assert len({without[0], first[0], second[0]}) == 3 and "hepda_own:twice 1" in first[1]
    monkeypatch.undo()
    assert versions() == without


def test_checks_of_sections_that_make_no_row_are_made_of_a_cached_table(folder: Path) -> None:
    loaded(folder)
    for kind, override, message in (
        (ConfigError, "plots.n_jts={}", "Did you mean 'n_jets'"),
        (DataError, "negative_weights=reject", "have negative weights"),
        (ExpressionError, "systematics.b={kind: weight, up: b_wieght_up, down: b_weight_down}", "b_wieght_up"),
    ):
        with pytest.raises(kind, match=message):
            loaded(folder, override)


def test_two_runs_at_once_leave_one_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One of the threads runs at a time, else Python 3.11 may fail in ast.parse, which numpy uses ("recursion depth").
    barrier, turn, results = threading.Barrier(2), threading.Lock(), []
    original = load._read

    def wait_for_the_other() -> None:
        turn.release()
        barrier.wait(timeout=60)
        turn.acquire()

    def together(*arguments: Any) -> Any:
        wait_for_the_other()
        result = original(*arguments)
        wait_for_the_other()  # both have read before either gives its table the name
        return result

    def run() -> None:
        with turn:
            results.append(loaded(folder))

    monkeypatch.setattr(load, "_read", together)
    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2 and results[0].folder == results[1].folder
    same_table(results[0].table, results[1].table)
    assert [item.name for item in (folder / "cache").iterdir()] == [results[0].folder.name]


def test_what_a_killed_run_left_is_no_table_and_goes_after_a_day(folder: Path) -> None:
    leftover = folder / "cache" / ".0123456789ab.999999999.part"
    leftover.mkdir(parents=True)
    loaded(folder)
    assert leftover.exists()
    os.utime(leftover, (time.time() - 90_000,) * 2)
    loaded(folder, "missing=-3")
    assert not leftover.exists()


def test_a_table_that_is_not_whole_is_read_again(folder: Path) -> None:
    first, expected = loaded(folder), load_table(dataset_spec(load_config(folder / "small.yaml"))).table
    assert first.folder is not None
    for spoil in ("key.npy", "names.json", "about.json"):
        content = (first.folder / spoil).read_bytes()
        (first.folder / spoil).write_bytes(content[: len(content) // 2])
        again = loaded(folder)
        assert "kept in" in again.note
        same_table(again.table, expected)


def test_without_a_cache_the_table_lies_where_the_run_says(folder: Path) -> None:
    events = loaded(folder, cache=None, folder=folder / "here")
    assert events.folder == folder / "here" and events.note == "" and not (folder / "cache").exists()
    same_table(events.table, load_table(dataset_spec(load_config(folder / "small.yaml"))).table)


def test_an_error_leaves_nothing(folder: Path) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(DataError):
        loaded(folder, "variables.ht=log(n_b - 2)")
    assert sorted(folder.iterdir()) == before


def test_a_table_without_a_file_that_was_skipped_is_not_kept(folder: Path) -> None:
    write_sample(folder / "more.root", 40, 7, signal=False, cross_section=20.0)
    (folder / "more.root").write_bytes((folder / "more.root").read_bytes()[:3000])
    more = ("reading.on_error=skip", f"samples.background.files=[{folder}/background.root, {folder}/more.root]")
    for place in (None, folder / "own"):
        one = loaded(folder, *more, folder=place)
        assert [file.path for file in one.skipped] == [str(folder / "more.root")] and one.folder == place
        assert len(one.table) and not list((folder).glob("cache/*"))


# --- what goes wrong while reading and writing --------------------------------------------------------------------


def test_a_file_that_vanishes_while_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def vanish(name: str, done: int, total: int) -> None:
        (folder / "third.root").unlink(missing_ok=True)

    with pytest.raises(SourceError, match=r"third\.root: cannot be opened: No such file"):
        load_table(dataset_spec(load_config(folder / "small.yaml")), vanish)


@pytest.mark.parametrize("longer", [False, True])
def test_a_file_that_changes_while_it_is_read(folder: Path, longer: bool) -> None:
    def change(name: str, done: int, total: int) -> None:
        if name == "signal":
            write_sample(folder / "third.root", N + 20 * longer, 5, signal=False, cross_section=20.0)
            os.utime(folder / "third.root", ns=(1, 1))

    with pytest.raises(SourceError, match=r"third\.root: .*has changed while it was read"):
        load_table(dataset_spec(load_config(folder / "small.yaml")), change, Resources(cache=folder / "cache"))
    assert not list(folder.glob("cache/*"))


def small_disk(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a user namespace of its own, with a file system of 200 kB at folder/disk."""
    (folder / "disk").mkdir()
    command = f"mount -t tmpfs -o size=200k tmpfs {folder}/disk && {sys.executable} -c '{script}'"
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


WRITE = """
import sys
from pathlib import Path
from hepda.config import load_config
from hepda.errors import StorageError
from hepda.events.dataset.load import load_table
from hepda.events.resolve import dataset_spec
from hepda.runtime.resources import Resources
try:
    load_table(dataset_spec(load_config(Path("%s/small.yaml"))), resources=Resources(cache=Path("%s/disk")))
except StorageError as error:
    print(error, sorted(Path("%s/disk").glob("*")))
"""


@pytest.mark.slow
def test_a_full_disk(tmp_path: Path) -> None:
    write_analysis(tmp_path, 2000)
    result = small_disk(WRITE.replace("%s", str(tmp_path)), tmp_path)
    if "unshare" in result.stderr or "mount" in result.stderr:
        pytest.skip(f"no file system of one's own here: {result.stderr.strip()[:80]}")
    assert "the table of events cannot be written: No space left on device" in result.stdout, result
    assert "make room, or name another place by --cache" in result.stdout and result.stdout.strip().endswith("[]")


@pytest.mark.slow
def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The same without a disk of one's own: the system refuses what is written past a limit."""
    write_analysis(tmp_path, 2000)
    (tmp_path / "disk").mkdir()
    script = WRITE.replace("%s", str(tmp_path)).replace("try:", "import resource\nresource.setrlimit("
                                                       "resource.RLIMIT_FSIZE, (60000, 60000))\ntry:")  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "cannot be written: File too large" in result.stdout and result.stdout.strip().endswith("[]"), result


def test_a_cache_that_cannot_be_written_to(folder: Path) -> None:
    (folder / "cache").write_text("mine")
    with pytest.raises(ConfigError, match=r"--cache .*is a file, not a folder"):
        loaded(folder)


# --- spans and memory ---------------------------------------------------------------------------------------------


def test_spans_are_as_long_as_the_memory_allows(folder: Path) -> None:
    write_sample(folder / "signal.root", 5000, 1, signal=True, cross_section=0.5)
    config = load_config(folder / "small.yaml")
    plan, inputs = load.inspect(dataset_spec(config))

    def longest(memory: int) -> int:
        sample = load.sample_spans(dataset_spec(config), plan, "signal", inputs["signal"], memory=memory)
        return max(span.stop - span.start for span in sample.spans)

    assert 2000 <= longest(8 * 10**6) < longest(12 * 10**6) <= longest(10**12) == 5000
    with pytest.raises(DataError, match=r"signal\.root: 2000 events of it need .*--memory"):
        longest(10**5)
    spans.close_files()


def test_rows_do_not_depend_on_memory_or_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sample(folder / "background.root", 9000, 2, signal=False, cross_section=20.0)
    reference = loaded(folder, cache=None)
    monkeypatch.setattr(load, "_MANY", 1)
    monkeypatch.setattr(spans, "_USUAL", 10**9)
    monkeypatch.setattr(Resources, "share", lambda self, processes: 10**7)
    parts = loaded(folder, cache=None, folder=folder / "here", processes=2)
    same_table(parts.table, reference.table)
    assert parts.samples == reference.samples and parts.files == reference.files


PEAK = """
import sys
from pathlib import Path
from hepda.config import load_config
from hepda.events.dataset.load import load_table
from hepda.events.resolve import dataset_spec
from hepda.runtime.resources import Resources

def memory(name):
    (line,) = (line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) / 1000

load_table(dataset_spec(load_config(Path(sys.argv[1]) / "warm" / "small.yaml")))
before = memory("VmRSS:")
means = Resources(memory=int(sys.argv[2]), folder=Path(sys.argv[1]) / sys.argv[3])
loaded = load_table(dataset_spec(load_config(Path(sys.argv[1]) / "small.yaml")), resources=means)
print(before, memory("VmHWM:"), len(loaded.table))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_while_reading_keeps_to_the_budget_and_does_not_grow_with_the_file(tmp_path: Path) -> None:
    write_analysis(tmp_path / "warm", 60)
    write_analysis(tmp_path, 60)
    sample = write_sample(tmp_path / "0.root", 20_000, 9, signal=False, cross_section=20.0)
    grown = {}
    for number in (1, 4):
        copies = [tmp_path / f"{i}.root" for i in range(number)]
        for copy in copies[1:]:
            shutil.copyfile(sample, copy)
        text = analysis()
        text["samples"]["background"]["files"] = [str(copy) for copy in copies]
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
        command = [sys.executable, "-c", PEAK, str(tmp_path), str(600_000_000), f"table{number}"]
        result = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
        )
        before, peak, rows = map(float, result.stdout.split())
        assert peak < 600 and rows > number * 6000
        assert len(open_table(tmp_path / f"table{number}")) == rows
        grown[number] = peak - before
    assert grown[4] < grown[1] + 25, grown  # MB; four times the events


def test_a_writer_that_is_given_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no rows"):
        TableWriter(tmp_path / "t", {}).finish()
    with pytest.raises(HepdaError, match="is incomplete"):
        open_table(tmp_path / "t")


def test_another_file_of_the_same_size_and_time_is_another_file(folder: Path) -> None:
    """What a copy that keeps times, or a restored backup, leaves: the content alone differs."""
    before, path = loaded(folder), folder / "third.root"
    old = path.stat()
    content = bytearray(path.read_bytes())
    write_sample(folder / "other.root", N, 9, signal=False, cross_section=20.0)
    other = (folder / "other.root").read_bytes().ljust(len(content), b"\0")[: len(content)]
    for changed in (other, bytes(content[:-1]) + b"\x01"):
        path.write_bytes(changed)
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
        assert path.stat().st_size == old.st_size and path.stat().st_mtime_ns == old.st_mtime_ns
        assert name_of(folder) not in {None, before.name}


def test_the_ends_of_a_file_alone_tell_where_the_system_keeps_no_times(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "third.root"
    one = fingerprint.state_of(str(path))
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    two = fingerprint.state_of(str(path))
    assert one is not None and two is not None and one[1].split()[3] != two[1].split()[3]
    os.mkfifo(folder / "pipe")
    assert fingerprint.state_of(str(folder / "pipe")) is not None  # not opened, which would wait for ever
    assert fingerprint.state_of(str(folder / "nothing")) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ROWS, "column0"])
def test_a_flipped_bit_anywhere_in_a_table_makes_it_again(folder: Path, name: str) -> None:
    first, expected = loaded(folder), load_table(dataset_spec(load_config(folder / "small.yaml"))).table
    assert first.folder is not None
    path = first.folder / f"{name}.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    again = loaded(folder)
    assert "damaged and is made again" in again.note
    same_table(again.table, expected)
    assert "taken from" in loaded(folder).note


def exchanged(value: Any, one: str, two: str) -> Any:
    """JSON in which two words have changed places."""
    return json.loads(json.dumps(value).replace(one, "\0").replace(two, one).replace("\0", two))


@pytest.mark.slow
@pytest.mark.parametrize("spoil", ["names", "samples", "about", "byte order", "type", "fortran", "shape", "no JSON"])
def test_a_table_with_other_names_or_types_is_made_again(folder: Path, spoil: str) -> None:
    first, expected = loaded(folder), load_table(dataset_spec(load_config(folder / "small.yaml"))).table
    assert first.folder is not None
    names, about = first.folder / "names.json", first.folder / "about.json"
    if spoil == "names":
        names.write_text(json.dumps(exchanged(json.loads(names.read_text()), '"ht"', '"met"')))
    elif spoil == "samples":
        names.write_text(json.dumps(exchanged(json.loads(names.read_text()), '"signal"', '"background"')))
    elif spoil == "about":
        about.write_text(about.read_text().replace("1", "2", 1))
    elif spoil == "no JSON":
        names.write_text("[]")
    else:
        path = first.folder / "features.npy"
        values = np.load(path)
        values = {
            "byte order": values.astype(">f4"), "type": values.view(np.int32), "fortran": np.asfortranarray(values),
            "shape": values.reshape(-1, 4),
        }[spoil]  # fmt: skip
        np.save(path, values)
    again = loaded(folder)
    assert "damaged and is made again" in again.note
    same_table(again.table, expected)


def test_a_table_that_another_run_names_meanwhile_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs read the same events; whichever is complete first names the table, and the other one uses that."""
    target = loaded(folder).folder
    assert target is not None
    store, original, named = target.parent, cache.find, []
    for run in ("slow", "fast"):
        shutil.copytree(target, store / f".{run}.1.part")
    shutil.rmtree(target)

    def find(*arguments: Any, **options: Any) -> Any:
        entry = original(*arguments, **options)
        if entry is None:  # after the slow run has looked, the fast one is complete
            (store / ".fast.1.part").rename(target)
        named.append(target.stat().st_ino)
        return entry

    monkeypatch.setattr(cache, "find", find)
    assert cache.publish(store / ".slow.1.part", store, target.name, {}).folder == target
    assert target.stat().st_ino == named[0]
