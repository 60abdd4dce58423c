"""The face MuseTalk, from pushed speech to pictures, with networks of a few channels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pytest
from fakes.graphs import fake_graphs
from fakes.libraries import need
from fakes.tiny_musetalk import tiny_musetalk, tiny_sizes, tiny_state, write_tiny_weights
from numpy.typing import NDArray

from maestra.adapters.face.streaming import Moment
from maestra.core.persona import Manner
from maestra.ports.audio import PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.errors import FaceError, FaceOutOfMemory, ModelMissing

torch = pytest.importorskip("torch")
need("diffusers", "transformers")
pytest.importorskip("safetensors")

from maestra.adapters.face.device import Device, no_room
from maestra.adapters.face.musetalk import face as module
from maestra.adapters.face.musetalk import features, painter
from maestra.adapters.face.musetalk.cycle import Uploaded, cycle_poses
from maestra.adapters.face.musetalk.gate import Gate
from maestra.adapters.face.musetalk.networks import Networks, find_weights

if TYPE_CHECKING:
    from maestra.adapters.face.musetalk.face import MuseTalk
    from maestra.ports.audio import Picture

Sound = NDArray[np.float32]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, and the cache of what was built of them."""
    made: Path = tmp_path_factory.mktemp("musetalk")
    write_tiny_weights(made)
    return made


@pytest.fixture
def face(folder: Path) -> MuseTalk:
    return tiny_musetalk(folder)


def speech(pictures: float, level: float = 0.3) -> Sound:
    t = np.arange(round(pictures * SLICE_SAMPLES)) / PLAYOUT_RATE_HZ
    voice = np.sin(2 * np.pi * (150 + 40 * np.sin(5 * t)) * t) + 0.5 * np.sin(2 * np.pi * 1900 * t)
    made: Sound = (level * voice * (0.6 + 0.4 * np.sin(9 * t))).astype(np.float32)
    return made


def take(face: MuseTalk, count: int) -> list[Picture]:
    return [frame.picture for frame in islice(face.frames(), count)]


def moment(number: int, sound: Sound | None = None) -> Moment:
    length = 3 * SLICE_SAMPLES
    return Moment(
        number=number,
        sound=np.zeros(length, np.float32) if sound is None else sound[:length],
        speaking=sound is not None,
    )


# --- hearing -------------------------------------------------------------------


def test_a_window_has_the_states_of_the_whole_file_in_its_places(folder: Path) -> None:
    """The first layer, of which the sound around a state is all, is the same; whatever the length
    of the speech before. Only where a file begins its spectrum mirrors it, and ours does not."""
    networks = Networks.unfilled(tiny_sizes())
    networks.encoder.to_empty(device="cpu")
    networks.encoder.load_state_dict(tiny_state("encoder", networks.encoder))
    hearing = features.Hearing(networks.encoder.eval(), back=1.0)
    # Soft noise, so that no spectrum is cut off at the loudest sound's -80 dB.
    sound = np.random.default_rng(1).normal(0, 0.1, 80 * SLICE_SAMPLES).astype(np.float32)
    back, ahead = (
        round(seconds * PLAYOUT_RATE_HZ) for seconds in (hearing.look_back, hearing.look_ahead)
    )
    padded = np.pad(sound, (back, ahead))
    pictures = [0, 1, 2, 24, 25, 26, 60]
    windows = np.stack(
        [padded[n * SLICE_SAMPLES :][: back + SLICE_SAMPLES + ahead] for n in pictures]
    )
    low = torch.nn.functional.conv1d(
        torch.from_numpy(sound)[None, None], features._low_pass(), stride=3, padding=60
    )[0, 0]
    with torch.inference_mode():
        ours = hearing.prompts(torch.from_numpy(windows), pictures)
        theirs = hearing.placed(hearing.of_file(low))[pictures]

    def layer(prompts: Any) -> Any:
        return prompts.unflatten(1, (10, 5))[:, :, 0]

    assert (layer(ours) - layer(theirs)).abs().max() <= 0.1 * layer(theirs).std()
    assert (layer(ours[3:]) - layer(theirs[3:])).abs().max() <= 2e-3 * layer(theirs).std()


def test_a_window_too_short_for_a_picture_is_refused(folder: Path) -> None:
    networks = Networks.unfilled(tiny_sizes())
    with pytest.raises(ValueError, match="ten states"):
        features.Hearing(networks.encoder.to_empty(device="cpu"), ahead=0.04)


# --- pictures ------------------------------------------------------------------


@pytest.mark.slow
def test_however_the_speech_arrives_the_pictures_are_the_same(folder: Path) -> None:
    said = speech(8)

    def pictures(parts: Sequence[Sound], batch: int) -> NDArray[np.int16]:
        face = tiny_musetalk(folder, batch=batch)
        for part in parts:
            face.push(part)
        face.push(np.zeros(0, np.float32), last=True)
        return np.stack(take(face, 11)).astype(np.int16)

    at_once = pictures([said], 1)
    in_parts = pictures([*np.split(said, [7, 1000, 1920, 9999, 13_000])], 8)
    assert np.abs(at_once - in_parts).max() <= 1
    assert np.abs(np.diff(at_once, axis=0)).max() > 20


def test_the_mouth_is_shut_in_silence_whatever_the_model_thinks(face: MuseTalk) -> None:
    idle = take(face, 60)
    face.clear(0)
    hiss = np.random.default_rng(2).normal(0, 1e-3, 20 * SLICE_SAMPLES).astype(np.float32)
    face.push(np.concatenate([hiss, speech(10), hiss]), last=True)
    pictures = take(face, 60)

    same = [bool((a == b).all()) for a, b in zip(idle, pictures, strict=True)]
    assert not (idle[0] == idle[12]).all()
    np.testing.assert_array_equal(idle[3], idle[28])
    assert all(same[:16])
    assert not any(same[20:30])
    assert all(same[40:])


def test_only_the_lower_face_is_painted(face: MuseTalk) -> None:
    idle = take(face, 20)
    face.clear(0)
    face.push(speech(20), last=True)
    changed = take(face, 20)[15][:512] != idle[15][:512]

    rows, columns = np.nonzero(changed)
    left, top, right, bottom = face._box
    assert (top + bottom) / 2 - 20 < rows.min() and rows.max() < bottom
    assert left - 1 <= columns.min() and columns.max() <= right


def test_clear_in_the_middle_of_a_batch_goes_on_from_what_was_seen(face: MuseTalk) -> None:
    face.push(speech(20), last=True)
    before = take(face, 9)
    face.clear(6)
    face.push(speech(20)[6 * SLICE_SAMPLES :], last=True)
    again = take(face, 3)

    for a, b in zip(before[6:], again, strict=True):
        assert np.abs(a.astype(np.int16) - b).max() <= 1


def test_a_mouth_that_shuts_after_an_interruption_is_the_last_one_that_was_seen(
    folder: Path,
) -> None:
    said = speech(200)
    face = tiny_musetalk(folder)
    length = round((face.look_ahead + 5) * PLAYOUT_RATE_HZ)

    def moments(count: int) -> list[Moment]:
        return [
            Moment(number=n, sound=said[n * SLICE_SAMPLES :][:length], speaking=True)
            for n in range(count)
        ]

    silence = Moment(number=6, sound=np.zeros(length, np.float32), speaking=False)
    face.draw(moments(9))
    interrupted = face.draw([silence])[0]
    other = tiny_musetalk(folder)
    other.draw(moments(6))
    assert np.abs(other.draw([silence])[0].astype(np.int16) - interrupted).max() <= 1


def test_empty_speech_and_a_minute_at_once(face: MuseTalk) -> None:
    face.push(np.zeros(0, np.float32), last=True)
    take(face, 2)
    face.push(speech(25 * 60))
    numbers = [frame.number for frame in islice(face.frames(), 12)]
    assert [*range(2, 14)] == numbers
    face.clear(8)
    assert [8, 9] == [frame.number for frame in islice(face.frames(), 2)]


def test_who_left_the_device_paints_the_same_faces_when_it_is_back(folder: Path) -> None:
    stayed, left = tiny_musetalk(folder), tiny_musetalk(folder, unload_after=60.0)
    for face in (stayed, left):
        face.hold(1)
        face.push(speech(3), last=True)
    seen, again = take(stayed, 1), take(left, 1)
    left.unload()
    assert not left._residence.resident
    seen += take(stayed, 2)
    again += take(left, 2)
    assert left._residence.resident
    # The weights lie elsewhere in memory, and sums are taken in another order there.
    for a, b in zip(seen, again, strict=True):
        assert np.abs(a.astype(np.int16) - b).max() <= 1


def test_from_a_cycle_that_was_uploaded_the_same_faces_are_painted(folder: Path) -> None:
    mapped, uploaded = tiny_musetalk(folder), tiny_musetalk(folder)
    uploaded._uploaded = Uploaded.of(uploaded._cycle, uploaded._part, torch.device("cpu"))
    uploaded._cycle.latents = np.zeros_like(uploaded._cycle.latents)
    uploaded._cycle.pictures = np.zeros_like(uploaded._cycle.pictures)
    for face in (mapped, uploaded):
        face.hold(2)
        face.push(speech(4), last=True)
    before = uploaded._uploaded.under
    pictures = take(uploaded, 2)
    uploaded.unload()
    assert before is not uploaded._uploaded.under, "it leaves with the networks"
    for a, b in zip(take(mapped, 4), pictures + take(uploaded, 2), strict=True):
        assert np.abs(a.astype(np.int16) - b).max() <= 1


def test_what_is_recorded_paints_the_same_faces(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def painted(face: MuseTalk) -> NDArray[np.int16]:
        face.hold(2)
        face.push(speech(4), last=True)
        return np.stack(take(face, 6)[1:]).astype(np.int16)

    plain = tiny_musetalk(folder, batch=2)
    take(plain, 2)
    wanted = painted(plain)
    graphs = fake_graphs(monkeypatch)
    choose = Device.choose
    monkeypatch.setattr(
        Device, "choose", lambda *a, **k: attrs.evolve(choose(*a, **k), graphs=True)
    )
    face = tiny_musetalk(folder, batch=2)
    take(face, 2)  # idle: one of each network's for every picture
    assert len(graphs) == 4
    assert np.abs(painted(face) - wanted).max() <= 1
    # While the mouth is still shutting it is painted alone, else by two.
    assert [graph.replays for graph in graphs] == [2, 2, 2, 2]

    take(face, 6)
    face.unload()
    take(face, 2)
    assert len(graphs) == 4, "nothing is recorded while it is away"


def test_a_full_gpu_is_said_in_the_ports_words() -> None:
    forgotten: list[str] = []
    full = no_room("There is no room.", lambda: forgotten.append("recordings"))
    with pytest.raises(FaceOutOfMemory, match="no room"), full:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")
    assert forgotten


# --- gate and cycle --------------------------------------------------------------


def test_the_gate_opens_and_shuts_in_steps_and_steps_back() -> None:
    gate, loud = Gate(0.04), speech(3)
    shares = [gate.step(moment(n, loud)).share for n in range(8)]
    assert 1.0 == shares[-1]
    assert max(b - a for a, b in pairwise([0.0, *shares])) <= 0.2 + 1e-9
    closing = [gate.step(moment(n)).share for n in range(8, 16)]
    assert 0.0 == closing[-1]

    again = gate.step(moment(3, loud))
    assert (shares[3], 3) == (again.share, again.spoken)


def test_the_idle_cycle_begins_again_without_a_jump() -> None:
    poses = np.array([attrs.astuple(pose) for pose in cycle_poses(Manner(), 3, 250)])
    steps = np.abs(np.diff(np.concatenate([poses, poses[:3]]), axis=0))
    # Blinks and glances are quick by themselves; the seam must not be quicker.
    assert (steps[-53:].max(axis=0) <= steps[:-53].max(axis=0) * 1.5 + 0.01).all()
    assert 0 == np.abs(poses[:, 0]).max()  # the jaw


@pytest.mark.slow
def test_the_cycle_is_drawn_once_and_again_where_it_is_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = painter.latents

    def counted(networks: Networks, crops: Picture) -> NDArray[np.float32]:
        encoded.append(len(crops))
        return encode(networks, crops)

    monkeypatch.setattr(module, "latents", counted)
    first = take(tiny_musetalk(folder), 1)[0]
    encoded.clear()
    tiny_musetalk(folder)
    assert not encoded
    for kept in (folder / "cache").rglob("latents.npy"):
        kept.write_bytes(kept.read_bytes()[:1000])
    mended = tiny_musetalk(folder)
    assert 25 == sum(encoded)
    np.testing.assert_array_equal(first, take(mended, 1)[0])


def test_it_is_built_as_the_configuration_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maestra.app import composition
    from maestra.app.config import Config, FaceConfig

    monkeypatch.setattr(module, "MuseTalk", partial(module.MuseTalk, sizes=tiny_sizes()))
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda _: str(folder / "cache"))
    options = {"weights": str(folder), "device": "cpu", "idle_seconds": 1.0}
    config = Config(face=FaceConfig(backend=("musetalk",), options={"musetalk": options}, size=256))
    built = dict(composition.faces(config, composition.persona(config.persona)))["musetalk"]()
    assert (384, 256) == next(built.frames()).picture.shape

    monkeypatch.setenv("MAESTRA_MODELS", str(folder / "none"))
    unnamed = Config(
        face=FaceConfig(backend=("musetalk",), options={"musetalk": {"device": "cpu"}}, size=256)
    )
    with pytest.raises(ModelMissing, match="maestra models fetch musetalk"):
        dict(composition.faces(unnamed, composition.persona(config.persona)))["musetalk"]()


# --- weights ---------------------------------------------------------------------


def test_a_wrong_checkpoint_is_refused_by_the_name_of_what_is_wrong(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    files = write_tiny_weights(tmp_path)
    state = load_file(files["unet"])
    key = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    save_file({k: v for k, v in state.items() if k != key}, files["unet"])
    with pytest.raises(ModelMissing, match=f"lack {key}"):
        tiny_musetalk(tmp_path)

    save_file(state | {key: torch.zeros(8, 7)}, files["unet"])
    with pytest.raises(ModelMissing, match=rf"{key} is \(8, 7\)"):
        tiny_musetalk(tmp_path)

    files["unet"].write_bytes(files["vae"].read_bytes()[:5000])
    with pytest.raises(ModelMissing, match="damaged"):
        tiny_musetalk(tmp_path)

    files["unet"].unlink()
    with pytest.raises(ModelMissing, match=r"musetalkV15/unet\.pth"):
        find_weights(tmp_path)


def test_published_names_of_the_autoencoder_and_the_speech_encoder_are_understood() -> None:
    networks = Networks.unfilled(tiny_sizes())
    vae = tiny_state("vae", networks.vae)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for key, tensor in vae.items():
        for new, name in old.items():
            key = key.replace(f".attentions.0.{new}.", f".attentions.0.{name}.")
        renamed[key] = tensor
    assert renamed.keys() != vae.keys()
    encoder = tiny_state("encoder", networks.encoder)
    whole = {f"model.encoder.{key}": tensor for key, tensor in encoder.items()}
    whole["model.decoder.layer_norm.weight"] = torch.zeros(3)
    networks.load(encoder=whole, vae=renamed, unet=tiny_state("unet", networks.unet))

    for key, tensor in networks.vae.state_dict().items():
        assert torch.equal(vae[key], tensor)
    assert not networks.encoder.training


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_named(folder: Path, device: str) -> None:
    with pytest.raises(FaceError, match=device):
        tiny_musetalk(folder, device=device)


@pytest.mark.gpu
def test_half_precision_on_a_gpu_paints_the_same_faces(folder: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    pictures = []
    for precision in ("float32", "float16"):
        face = tiny_musetalk(folder, device="cuda", precision=precision, batch=8)
        face.push(speech(40), last=True)
        pictures.append(np.stack(take(face, 40)).astype(np.float64))
    error = np.mean(np.square(pictures[0] - pictures[1]))
    assert 10 * np.log10(255**2 / error) >= 40


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # of torch's, in itself
def test_compiled_networks_paint_the_same_faces(folder: Path) -> None:
    said = speech(6)
    pictures = []
    for compiled in (False, True):
        face = tiny_musetalk(folder, compile=compiled, batch=1)
        face.push(said, last=True)
        pictures.append(np.stack(take(face, 6)).astype(np.int16))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
