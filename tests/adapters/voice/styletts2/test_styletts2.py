"""StyleTTS2 without its weights: the checkpoint's layout, the signals, the chain.

That the networks compute what the published code does was compared once, with the same random
weights in both (docs/how-to/styletts2.md).
"""

from __future__ import annotations

from pathlib import Path

import anyio
import numpy as np
import pytest
from fakes.libraries import need
from numpy.typing import NDArray

pytest.importorskip("piper")
pytest.importorskip("safetensors.torch")
need("transformers")

import safetensors.torch as safetensors
import torch
from fakes.styletts2 import TINY, filled, hummed
from scipy.io import wavfile

from maestra.adapters.voice.phrasing import CutOff
from maestra.adapters.voice.styletts2.diffusion import karras_sigmas, sample
from maestra.adapters.voice.styletts2.mel import RATE_HZ, mel_spectrogram, trimmed
from maestra.adapters.voice.styletts2.networks import (
    CHECKPOINT,
    PUBLISHED,
    Networks,
    folded,
    read_networks,
)
from maestra.adapters.voice.styletts2.prosody import alignment
from maestra.adapters.voice.styletts2.settings import StyleTTS2Settings
from maestra.adapters.voice.styletts2.text import SYMBOLS, phoneme_numbers, spaced
from maestra.adapters.voice.styletts2.voice import StyleTTS2, _CutOffError, _read
from maestra.ports.errors import BackendRefused, ModelMissing, VoiceError

EXPECTED = {
    "text": 0.042284,
    "style": 0.132592,
    "frames": 25.000000,
    "f0": 0.319935,
    "energy": 0.190409,
    "diffusion": 0.191179,
    "decoder": 0.498475,
}


@pytest.fixture(scope="module")
def networks() -> Networks:
    return filled()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hummed(tmp_path_factory.mktemp("reference"))


def voice(networks: Networks, reference: Path, **settings: object) -> StyleTTS2:
    chosen = StyleTTS2Settings(device="cpu", **settings)  # type: ignore[arg-type]
    return StyleTTS2(chosen, weights=Path("nowhere"), reference=reference, networks=networks)


def spoken(voice: StyleTTS2, clause: str) -> NDArray[np.float32]:
    async def run() -> NDArray[np.float32]:
        return np.concatenate([sound async for sound in voice.synthesise(clause)])

    return anyio.run(run)


# --- text -------------------------------------------------------------------------------


def test_the_symbols_are_the_checkpoints() -> None:
    assert 178 == len(SYMBOLS)
    assert ("$", ";", " ", "A", "z") == tuple(SYMBOLS[at] for at in (0, 1, 16, 17, 68))
    assert [0, 156, 43, 102, 16, 83] == phoneme_numbers("ˈaɪ ə\u200b")


@pytest.mark.parametrize(
    ("phonemes", "apart"), [("wˈʌn, tˈuː.", "wˈʌn , tˈuː ."), ("“nˈoʊ”", "“ nˈoʊ ”")]
)
def test_punctuation_stands_apart(phonemes: str, apart: str) -> None:
    assert apart == spaced(phonemes)


# --- signals ----------------------------------------------------------------------------


def test_a_tone_is_in_the_band_that_was_laid_for_16_khz() -> None:
    tone = torch.sin(2 * torch.pi * 1500 * torch.arange(RATE_HZ) / RATE_HZ)
    mel = mel_spectrogram(tone)

    assert (80, 81) == tuple(mel.shape)
    # 1500 Hz of 24 kHz is taken for 1000 Hz of 16 kHz: mel 1000 of 2840, between two of 80 bands
    assert {27, 28} == set(mel.mean(dim=1).topk(2).indices.tolist())


def test_silence_at_both_ends_of_a_reference_is_cut_off() -> None:
    sound = torch.zeros(3 * RATE_HZ)
    sound[RATE_HZ : 2 * RATE_HZ] = 0.3

    assert RATE_HZ == pytest.approx(len(trimmed(sound)), abs=4096)


def test_the_noise_goes_down_as_karras_says() -> None:
    sigmas = karras_sigmas(5)

    assert sigmas[0] == pytest.approx(3.0)
    assert sigmas[-1] == pytest.approx(1e-4)
    assert sigmas[2] == pytest.approx(((3 ** (1 / 9) + 1e-4 ** (1 / 9)) / 2) ** 9)


def test_a_sample_of_what_is_always_the_same_is_that() -> None:
    """A network that knows the answer: the sampler must end there."""
    answer = torch.full((1, 1, 4), 0.7)
    data = 0.5

    def knows(x: object, time: object) -> object:
        sigma = torch.exp(4 * time[0])  # type: ignore[index]
        total = torch.sqrt(sigma**2 + data**2)
        noisy = x * total
        return (answer - (data / total) ** 2 * noisy) * total / (sigma * data)

    generator = torch.Generator().manual_seed(1)
    noise = torch.randn((1, 1, 4), generator=generator)
    found = sample(knows, noise, sigma_data=data, steps=8, generator=generator)
    assert torch.allclose(found, answer, atol=2e-3)


def test_each_phoneme_sounds_for_its_frames() -> None:
    expected = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])

    assert torch.equal(alignment(torch.tensor([2, 1])), expected)


# --- weights ----------------------------------------------------------------------------


def normed(state: dict[str, object]) -> dict[str, object]:
    """``state`` as trainers save it: with norms, and with names put in front."""
    saved: dict[str, object] = {}
    for key, value in state.items():
        network, _, rest = key.partition(".")
        front = f"net.{network}.module."
        if network == "diffusion":
            saved[f"{front}unet.{rest}"] = saved[f"{front}diffusion.net.{rest}"] = value
        elif rest.endswith("conv1.weight") and network == "decoder":
            over = tuple(range(1, value.dim()))  # type: ignore[attr-defined]
            length = value.pow(2).sum(over, keepdim=True).sqrt()  # type: ignore[attr-defined]
            saved[f"{front}{rest}_g"] = length
            saved[f"{front}{rest}_v"] = 3 * value  # type: ignore[operator]
        else:
            saved[front + rest] = value
    return {key: value.clone().contiguous() for key, value in saved.items()}  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, networks: Networks) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    safetensors.save_file(normed(dict(networks.state_dict())), folder / CHECKPOINT)
    return folder


def test_a_checkpoint_as_trainers_save_it_is_read(checkpoint: Path, networks: Networks) -> None:
    read = read_networks(checkpoint, TINY).state_dict()
    for key, tensor in networks.state_dict().items():
        assert torch.allclose(read[key], tensor, atol=1e-6), key


def test_norms_are_multiplied_out() -> None:
    weight = torch.arange(1.0, 7.0).reshape(2, 3)
    u, v = torch.tensor([0.6, 0.8]), torch.tensor([1.0, 0.0, 0.0])
    plain = folded({"a.weight_orig": weight, "a.weight_u": u, "a.weight_v": v, "a.bias": u})

    assert {"a.weight", "a.bias"} == set(plain)
    assert torch.allclose(plain["a.weight"], weight / (0.6 * 1 + 0.8 * 4))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("net.bert_encoder.module.bias"), r"lack bert_encoder\.bias"),
        (
            lambda s: s.update({"net.bert_encoder.module.bias": torch.zeros(3)}),
            r"bert_encoder\.bias is \(3,\) where \(32,\) belongs",
        ),
        (
            lambda s: s.update({"net.bert_encoder.module.more": torch.zeros(3)}),
            r"have bert_encoder\.more, which has no place",
        ),
        (
            lambda s: [s.pop(key) for key in list(s) if "decoder" in key],
            "weights lack decoder",
        ),
    ],
)
def test_a_wrong_checkpoint_names_the_first_weight(
    networks: Networks, tmp_path: Path, change: object, says: str
) -> None:
    state = normed(dict(networks.state_dict()))
    change(state)  # type: ignore[operator]
    safetensors.save_file(state, tmp_path / CHECKPOINT)

    with pytest.raises(ModelMissing, match=says):
        read_networks(tmp_path, TINY)


def test_a_checkpoint_that_is_cut_off_or_absent(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="maestra models import styletts2"):
        read_networks(tmp_path, TINY)
    (tmp_path / CHECKPOINT).write_bytes((checkpoint / CHECKPOINT).read_bytes()[:1000])
    with pytest.raises(ModelMissing, match="damaged"):
        read_networks(tmp_path, TINY)


def test_the_checkpoints_own_spread_is_taken(checkpoint: Path, tmp_path: Path) -> None:
    from maestra.adapters.voice.styletts2 import networks as module

    config = "model_params: {decoder: {type: hifigan}, diffusion: {dist: {sigma_data: 0.43}}}"
    (tmp_path / "config.yml").write_text(config)
    assert 0.43 == module._sizes(tmp_path).sigma_data
    (tmp_path / "config.yml").write_text("model_params: {decoder: {type: istftnet}}")
    with pytest.raises(ModelMissing, match="only hifigan"):
        module._sizes(tmp_path)
    (tmp_path / "config.yml").write_text("nothing: true")
    with pytest.raises(ModelMissing, match="not the configuration"):
        module._sizes(tmp_path)


@pytest.mark.slow
def test_the_published_sizes_are_those_of_the_checkpoint() -> None:
    with torch.device("meta"):
        state = Networks(PUBLISHED).state_dict()

    assert (178, 512) == tuple(state["text_encoder.embedding.weight"].shape)
    assert (1024, 1090, 3) == tuple(state["decoder.decode.0.conv1.weight"].shape)
    assert (512, 256, 20) == tuple(state["decoder.generator.ups.0.weight"].shape)
    assert (1024, 1024) == tuple(state["diffusion.to_mapping.0.weight"].shape)
    assert (50, 512) == tuple(state["predictor.duration_proj.linear_layer.weight"].shape)
    assert (512, 512, 5, 5) == tuple(state["style_encoder.shared.6.weight"].shape)


def test_the_networks_still_compute_what_was_compared_with_the_published_code(
    networks: Networks,
) -> None:
    """Numbers of our own, from when each network had just been compared."""

    def wave(*shape: int) -> object:
        count = int(np.prod(shape))
        return torch.sin(torch.arange(count, dtype=torch.float32) * 0.7).reshape(shape)

    phonemes = torch.arange(3, 20)[None]
    style, both = wave(1, 8), wave(1, 16)
    frames, encoded = networks.predictor.durations(wave(1, 32, 17), style)
    f0, energy = networks.predictor.curves(encoded, style)
    f0_hz = torch.tensor([[0.0, 0.0, 120.0, 140.0, 160.0, 150.0]])
    found = {
        "text": networks.text_encoder(phonemes),
        "style": networks.style_encoder(wave(1, 1, 80, 90)),
        "frames": frames.float(),
        "f0": f0,
        "energy": energy,
        "diffusion": networks.diffusion(
            wave(1, 1, 16), torch.tensor([0.3]), wave(1, 17, 16), both, 2.0
        ),
        "decoder": networks.decoder(
            wave(1, 32, 3), f0_hz, wave(1, 6), style, torch.Generator().manual_seed(3)
        ),
    }
    assert EXPECTED == {
        name: pytest.approx(float(value.abs().mean()), rel=2e-4) for name, value in found.items()
    }


# --- the voice --------------------------------------------------------------------------


def test_the_same_seed_speaks_the_same_way(networks: Networks, reference: Path) -> None:
    clause = "Again."
    first, again = (spoken(voice(networks, reference, steps=2), clause) for _ in range(2))

    assert len(first) > RATE_HZ // 4
    assert np.array_equal(first, again)
    assert not np.array_equal(first, spoken(voice(networks, reference, seed=1, steps=2), clause))


def test_a_piece_goes_on_like_the_last_one_that_was_not_cut_off(
    networks: Networks, reference: Path
) -> None:
    speaker, other = (voice(networks, reference, steps=2) for _ in range(2))
    cut_off = CutOff()
    hook = networks.bert_encoder.register_forward_pre_hook(lambda *_: cut_off.set())
    try:
        with pytest.raises(_CutOffError):
            speaker._speak("No.", cut_off)
    finally:
        hook.remove()
    first = speaker._speak("Good.", CutOff())

    assert np.array_equal(first, other._speak("Good.", CutOff()))
    assert not np.array_equal(first, speaker._speak("Good.", CutOff()))


def test_a_recording_of_eight_bits_sounds_like_one_of_sixteen(tmp_path: Path) -> None:
    hum = np.sin(np.arange(32_000) * 0.06)
    sounds = []
    for sound in ((100 * hum + 128).astype(np.uint8), (100 * 256 * hum).astype(np.int16)):
        wavfile.write(tmp_path / "voice.wav", 16_000, sound)
        sounds.append(_read(tmp_path / "voice.wav"))

    assert np.abs(sounds[0] - sounds[1]).max() < 0.02


@pytest.mark.slow
def test_a_long_text_is_spoken_in_parts(networks: Networks, reference: Path) -> None:
    speaker = voice(networks, reference, steps=2)
    once = len(spoken(speaker, "again"))

    assert len(spoken(speaker, " ".join(["again"] * 8))) > 5 * once


def test_what_has_no_phonemes_is_an_error(networks: Networks, reference: Path) -> None:
    with pytest.raises(VoiceError, match="no sound"):
        spoken(voice(networks, reference), "  ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        (b"no sound", "cannot be read"),
        (np.zeros(48_000, np.int16), "no sound in it"),
        (np.full(8_000, 9_000, np.int16), "less than 1 s"),
    ],
)
def test_a_reference_that_cannot_be_used(
    networks: Networks, tmp_path: Path, content: object, says: str
) -> None:
    path = tmp_path / "voice.wav"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        wavfile.write(path, 16_000, content)

    with pytest.raises(BackendRefused, match=says):
        voice(networks, path)


def test_a_device_that_is_not_there_is_said(networks: Networks, reference: Path) -> None:
    chosen = StyleTTS2Settings(device="warp")
    with pytest.raises(BackendRefused, match=r"there is no 'warp'"):
        StyleTTS2(chosen, weights=Path("nowhere"), reference=reference, networks=networks)
