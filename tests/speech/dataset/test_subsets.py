from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hepda.errors import ConfigError, DataError
from hepda.speech.dataset.material import (
    aligner_frames,
    load,
    read_aligner,
    read_material,
    trained_aligner,
    write_aligner,
    write_material,
)
from hepda.speech.dataset.subsets import TakeChanges, folds, of_fold, parts_of, subset, takes_from
from hepda.speech.recognition.senones import Alignment
from hepda.speech.sounds.features import FilterBank
from hepda.speech.training.jobs import domain_labels
from tests.speech.analysis import small


@pytest.fixture(scope="module")
def material():
    return load(small())


def disjoint(*parts):
    together = torch.cat(parts)
    return len(together.unique()) == len(together)


def test_recordings_are_split_by_their_index(material):
    parts = parts_of(small(), material.corpus, 0)
    assert disjoint(parts.labelled, parts.validation, parts.test)
    assert material.corpus.index[parts.test].unique().tolist() == [0]
    assert material.corpus.index[parts.validation].unique().tolist() == [1]
    assert len(parts.labelled) + len(parts.validation) + len(parts.test) == len(material.corpus)
    assert torch.equal(parts.labelled, parts.unlabelled)


def test_no_speaker_of_the_test_is_in_the_training(material):
    config = small(split={"by": "speaker"})
    assert folds(config, material.corpus) == 6
    tested = []
    for fold in range(6):
        parts = parts_of(config, material.corpus, fold)
        assert material.corpus.speaker[parts.test].unique().tolist() == [fold]
        for part in (parts.labelled, parts.validation):
            assert fold not in material.corpus.speaker[part]
        tested.append(parts.test)
    assert disjoint(*tested)
    assert len(torch.cat(tested)) == len(material.corpus)


def test_the_speaker_who_is_left_out_is_not_in_the_babble_either():
    config = small(split={"by": "speaker"}, noise={"synthetic": ["white", "babble"], "unseen": []})
    material = load(config)
    tape = material.corpus.tape
    samples = tape.samples.clone()
    for number in torch.nonzero(material.corpus.speaker == 0).flatten().tolist():
        samples[tape.start[number] : tape.start[number] + tape.length[number]] *= -0.5
    changed = replace(material, corpus=replace(material.corpus, tape=replace(tape, samples=samples)))

    def recordings(of, fold):
        return of_fold(config, of, fold).noises.train.tape

    assert torch.equal(recordings(material, 0).samples, recordings(changed, 0).samples)
    assert not torch.equal(recordings(material, 1).samples, recordings(changed, 1).samples)
    before, after = material.noises.train.tape, recordings(material, 0)
    assert torch.equal(before.utterance(0), after.utterance(0))  # white noise
    assert len(before.utterance(1)) == len(after.utterance(1))
    assert of_fold(small(), material, 0) is material


def test_unlabelled_recordings_are_others_than_the_labelled_ones(material):
    config = small(split={"unlabelled": 0.5})
    parts = parts_of(config, material.corpus, 0)
    assert disjoint(parts.labelled, parts.unlabelled, parts.validation, parts.test)
    assert len(parts.labelled) == len(parts.unlabelled)
    assert disjoint(parts.known, parts.unlabelled, parts.test)
    other = parts_of(small(split={"unlabelled": 0.5}, seed=2), material.corpus, 0)
    assert not torch.equal(parts.labelled, other.labelled)
    assert torch.equal(parts.test, other.test)


def test_a_split_that_leaves_nothing_is_refused(material):
    with pytest.raises(DataError, match="leaves 0 of 300"):
        load(small(split={"test": 5}))
    with pytest.raises(DataError, match="'labelled'"):
        parts_of(small(split={"validation": 4}), material.corpus, 0)


def test_a_subset_of_noises_is_drawn_with_the_seed_and_grows(material):
    assert subset(material, None, 1) == material.seen == (0, 2)
    first, both = subset(material, 1, 3), subset(material, 2, 3)
    assert set(first) < set(both) == set(material.seen)
    assert {subset(material, 1, seed) for seed in range(20)} == {(0,), (2,)}
    with pytest.raises(DataError, match="3 types are requested, but training has only 2"):
        subset(material, 3, 1)


def test_noises_are_dealt_evenly_and_the_unseen_one_never(material):
    numbers = torch.arange(100)
    takes, rooms = takes_from(material, numbers, TakeChanges(4, (0.9, 1.1), noises=(0, 2), clean=0.25), seed=1)
    assert len(takes) == 400
    assert torch.equal(takes.recording, numbers.repeat(4))
    assert set(takes.noise.tolist()) == {-1, 0, 2}
    assert abs(int((takes.noise == 0).sum()) - int((takes.noise == 2).sum())) < 40
    assert float((takes.noise == -1).double().mean()) == pytest.approx(0.25, abs=0.06)
    assert bool((rooms == -1).all())
    length = material.corpus.tape.length[takes.recording].double()
    ratio = (takes.tape.length / length).round(decimals=1)
    assert set(ratio.tolist()) == {0.9, 1.1}


def test_rooms_change_what_is_heard_and_not_what_is_aligned():
    config = small(rooms={"synthetic": [0.2, 0.6], "unseen": ["room 0.6 s"]})
    material = load(config)
    assert (material.seen_rooms, material.unseen_rooms) == ((0,), (1,))
    takes, rooms = takes_from(material, torch.arange(20), TakeChanges(1, (1.0,), rooms=(0,), room_share=0.5), seed=2)
    assert set(rooms.tolist()) == {-1, 0}
    for number, room in enumerate(rooms.tolist()):
        dry = material.corpus.tape.utterance(int(takes.recording[number]))
        same = torch.equal(takes.tape.utterance(number), dry)
        assert same == (room == -1)
    with pytest.raises(ConfigError, match=r"rooms\.unseen: 'hall' is not there"):
        load(small(rooms={"synthetic": [0.2], "unseen": ["hall"]}))


def test_material_and_aligners_come_back_from_disk(material, tmp_path):
    write_material(material, tmp_path)
    back = read_material(tmp_path)
    assert torch.equal(back.corpus.tape.samples, material.corpus.tape.samples)
    assert (back.corpus.words, back.corpus.names) == (material.corpus.words, material.corpus.names)
    assert torch.equal(back.noises.test.tape.samples, material.noises.test.tape.samples)
    assert (back.seen, back.unseen, back.noises.names) == (material.seen, material.unseen, material.noises.names)
    aligner = trained_aligner(small(), material.corpus)
    write_aligner(aligner, tmp_path / "aligner.safetensors")
    again = read_aligner(tmp_path / "aligner.safetensors")
    frames, _ = aligner_frames(small(), material.corpus.tape)
    words = material.corpus.words
    assert torch.equal(aligner.align(frames, words), again.align(frames, words))
    assert again.changed == aligner.changed


def test_states_of_a_recording_stretch_with_its_speed():
    bank = FilterBank(8000, 20)
    alignment = Alignment(torch.tensor([9, 9, 0, 0, 0, 0, 1, 1, 1, 1]), torch.tensor([2, 8]))
    assert alignment.of(torch.tensor([1, 0])).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 9, 9]
    which, count = torch.tensor([1, 1]), torch.tensor([2, 18])  # frames of 256 samples every 80 in 408 and 1632 of them
    senones = alignment.at_speeds(which, torch.tensor([2.0, 0.5]), count, bank)
    assert senones[:2].tolist() == [0, 1]
    slow = senones[2:]
    assert bool((slow.diff() >= 0).all())
    assert abs(int((slow == 0).sum()) - 9) <= 1


def test_an_unseen_noise_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="Did you mean 'pink'"):
        load(small(noise={"unseen": ["pinc"]}))
    with pytest.raises(ConfigError, match="names every noise"):
        load(small(noise={"unseen": ["white", "pink", "hum"]}))


def test_a_domain_head_is_told_the_noise_the_room_or_noise_or_none():
    noise, room = torch.tensor([-1, 4, 9, 4]), torch.tensor([0, -1, 1, 1])
    assert domain_labels("noise", noise, room, (4, 9)).tolist() == [0, 1, 2, 1]
    assert domain_labels("pair", noise, room, (4, 9)).tolist() == [0, 1, 1, 1]
    assert domain_labels("room", noise, room, (4, 9)).tolist() == [1, 0, 2, 2]
