from __future__ import annotations

import importlib.metadata
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from maestra.adapters.senses.music import CrepeMadmomAnalyser, MusicModels
from maestra.adapters.senses.music.activations import (
    BeatActivation,
    OnsetActivation,
    OnsetOpinion,
)
from maestra.adapters.senses.music.arrays import Rows
from maestra.adapters.senses.music.madmom_models import import_madmom, load_network
from maestra.adapters.senses.music.polyphony import PianoNotes
from maestra.ports.errors import ModelMissing

from .sounds import RATE, line, tone

pytestmark = pytest.mark.models


class _Attack:
    def __init__(self, touched: Path) -> None:
        self._touched = touched

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._touched),)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    touched, path = tmp_path / "touched", tmp_path / "network.pkl"
    path.write_bytes(pickle.dumps(_Attack(touched)))

    with pytest.raises(ModelMissing, match="mkdir"):
        load_network(path)
    assert not touched.exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps([1, 2])[:-3]])
def test_what_is_no_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "network.pkl"
    path.write_bytes(content)

    with pytest.raises(ModelMissing, match=r"network\.pkl"):
        load_network(path)


def test_missing_weights_are_told_by_name(models: MusicModels, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"absent\.pth"):
        CrepeMadmomAnalyser(evolve(models, crepe=tmp_path / "absent.pth"))


def test_damaged_weights_are_refused(models: MusicModels, tmp_path: Path) -> None:
    damaged = tmp_path / "tiny.pth"
    damaged.write_bytes(models.crepe.read_bytes()[:5000])

    with pytest.raises(ModelMissing, match="CREPE"):
        CrepeMadmomAnalyser(evolve(models, crepe=damaged))


def test_the_lookup_of_distributions_is_left_as_it_was() -> None:
    before = importlib.metadata.distribution

    import_madmom("audio.filters")

    assert importlib.metadata.distribution is before
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution("madmom")


def test_streaming_gives_what_madmom_gives_for_the_whole(models: MusicModels) -> None:
    """Our front ends, block by block, against madmom's own, at once."""
    tones = [(0.2 + 0.3 * i, tone(57 + 4 * i, 0.28, decay=2)) for i in range(6)]
    sound = line(tones, 2.4)
    sample = import_madmom("audio.signal").Signal(sound, sample_rate=RATE, num_channels=1)
    onsets, beats = import_madmom("features.onsets"), import_madmom("features.beats")
    online = {"online": True, "fps": 100, "origin": "online"}
    theirs = [
        onsets.CNNOnsetProcessor()(sample),
        onsets.RNNOnsetProcessor(**online)(sample),
        beats.RNNBeatProcessor(**online)(sample),
    ]
    ours: tuple[Callable[[Rows, int], Any], ...] = (
        OnsetActivation(models.onset_cnn),
        OnsetOpinion(models.onset_rnn),
        BeatActivation(models.beat_lstm),
    )
    rows = Rows(start=-4096)
    rows.push(np.zeros(4096, dtype=np.float32))
    given: list[list[Any]] = [[], [], []]
    for first in range(0, len(sound) - 8820 + 1, 8820):
        rows.push(sound[first : first + 8820])
        frames = (rows.end - 2048) // 441 + 1
        for activations, network in zip(given, ours, strict=True):
            activations.append(network(rows, frames))

    for activations, expected in zip(given, theirs, strict=True):
        found = np.concatenate(activations)
        assert len(found) > 200
        np.testing.assert_allclose(found, expected[: len(found)], atol=0.01)


def test_piano_notes_are_those_madmom_gives(models: MusicModels) -> None:
    sound = line([(0.4, tone(60, 0.8, decay=2)), (0.4, tone(67, 0.8, decay=2))], 1.6)
    sample = import_madmom("audio.signal").Signal(sound, sample_rate=RATE, num_channels=1)
    theirs = import_madmom("features.notes").CNNPianoNoteProcessor()(sample)
    rows = Rows(start=0)
    rows.push(sound)

    sounding, struck = PianoNotes(models.notes_cnn)(rows, 10, 60)

    np.testing.assert_allclose(sounding, theirs[10:60, :, 0], atol=0.01)
    np.testing.assert_allclose(struck, theirs[10:60, :, 1], atol=0.01)
