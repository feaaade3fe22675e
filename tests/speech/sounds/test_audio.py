from __future__ import annotations

import struct

import numpy as np
import pytest
import soundfile
import torch

from hepda.errors import DataError, SourceError
from hepda.speech.sounds.audio import on_tape, read_audio, sound_files


def tone(seconds: float, rate: int, hertz: float) -> np.ndarray:
    return np.sin(2.0 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize(("native_rate", "suffix"), [(8000, "wav"), (16000, "flac"), (44100, "wav"), (11025, "wav")])
def test_any_rate_and_any_number_of_channels_become_one_channel_at_one_rate(tmp_path, native_rate, suffix):
    left = 0.5 * tone(0.5, native_rate, 440.0)
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, np.stack([left, 0.0 * left], axis=1), native_rate)
    samples = read_audio(path, 8000)
    assert samples.dtype == torch.float32
    assert len(samples) == pytest.approx(4000, abs=1)
    inside = slice(400, 3600)  # away from the edges, where any filter rings
    expected = 0.25 * tone(0.5, 8000, 440.0)
    np.testing.assert_allclose(samples.numpy()[inside], expected[inside], atol=3e-3)


def test_a_tone_above_half_the_new_rate_is_filtered_and_not_folded(tmp_path):
    path = tmp_path / "high.wav"
    soundfile.write(path, 0.5 * tone(0.5, 32000, 7000.0), 32000)
    assert float(read_audio(path, 8000)[400:3600].abs().max()) < 0.005


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SourceError, match="no such sound file"):
        read_audio(tmp_path / "none.wav", 8000)
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(SourceError, match=r"text\.wav cannot be read as sound"):
        read_audio(tmp_path / "text.wav", 8000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    with pytest.raises(DataError, match="holds no samples"):
        read_audio(tmp_path / "empty.wav", 8000)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 8000, subtype="FLOAT")
    with pytest.raises(DataError, match="not finite"):
        read_audio(tmp_path / "nan.wav", 8000)


def test_a_rate_that_no_recording_has_is_refused_before_memory_is_asked_for(tmp_path):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(0.01, 8000, 440.0), 8000)
    content = path.read_bytes()
    for rate in (0, 1, 999, 1_000_001, 2**31 - 1, 2**31):  # of 2^31 Hz, the filter alone would take 320 GiB
        path.write_bytes(content[:24] + struct.pack("<I", rate) + content[28:])
        with pytest.raises(SourceError, match=r"tone\.wav cannot be read as sound"):
            read_audio(path, 8000)
    path.write_bytes(content[:24] + struct.pack("<I", 11025) + content[28:])
    assert len(read_audio(path, 8000)) == 59


def test_a_header_that_claims_more_samples_than_there_are_is_an_error(tmp_path):
    path = tmp_path / "tone.flac"
    soundfile.write(path, tone(0.5, 8000, 440.0), 8000)
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack(">I", 4000))  # the lower 32 of 36 bits of STREAMINFO's number of samples
    content[at - 1] |= 0x0F
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"ends after 4000 of \d+ samples|cannot be read as sound"):
        read_audio(path, 8000)
    path.write_bytes(bytes(content[: len(content) // 2]))
    with pytest.raises(SourceError, match=r"tone\.flac cannot be read as sound"):
        read_audio(path, 8000)


def test_sound_files_are_found_in_the_order_of_their_names(tmp_path):
    for name in ("b.wav", "a/z.FLAC", "a/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert [path.name for path in sound_files(tmp_path)] == ["z.FLAC", "b.wav"]
    with pytest.raises(SourceError, match="no such folder"):
        sound_files(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no sound file"):
        sound_files(tmp_path / "empty")


def test_a_tape_keeps_its_utterances():
    parts = [torch.arange(5.0), torch.arange(3.0) + 10.0, torch.arange(4.0) - 7.0]
    tape = on_tape(parts, 8000)
    for number, part in enumerate(parts):
        assert torch.equal(tape.utterance(number), part)
    assert tape.seconds == 12 / 8000
    back = tape.select(torch.tensor([2, 0]))
    assert torch.equal(back.samples, torch.cat([parts[2], parts[0]]))
    with pytest.raises(DataError, match="no utterances"):
        on_tape([], 8000)
