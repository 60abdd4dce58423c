"""MuseTalk against what the published implementation computed with the recipe's weights."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fakes.libraries import need
from golden.recipe import Golden, golden, image, recipe_sha256, rel_max, uniform, weights
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
need("diffusers", "transformers")
Image = pytest.importorskip("PIL.Image")

from maestra.adapters.face.device import Device
from maestra.adapters.face.musetalk.blending import (
    Laying,
    soft_mask,
    square_around,
)
from maestra.adapters.face.musetalk.features import (
    Hearing,
    prompt_table,
    sinusoids,
)
from maestra.adapters.face.musetalk.networks import PUBLISHED, Networks
from maestra.adapters.face.musetalk.painter import Painter
from maestra.adapters.face.musetalk.parsing import FaceParser, mask_of
from maestra.adapters.weights import load_weights

NETWORK = 5e-6
CHAINED = 5e-4


@pytest.fixture
def published() -> Golden:
    return golden("musetalk")


@pytest.fixture
def networks() -> Iterator[Networks]:
    yield Networks.unfilled(PUBLISHED)
    gc.collect()


def filled(network: Any, net: str, published: Golden) -> Any:
    """``network``, which takes up no memory yet, with the recipe's weights."""
    shapes = published.shapes(net)
    made = weights("musetalk", net, shapes)
    assert published.sha256(net) == recipe_sha256(made)
    state = {key: torch.from_numpy(np.asarray(value)) for key, value in made.items()}
    load_weights(network, state, name=net)
    return network


def sound() -> NDArray[np.float32]:
    t = np.arange(40000) / 16000
    # The recipe's stream in double precision: `uniform` gives float32.
    noise = uniform("musetalk", "audio", (40000,), 0, 1).astype(np.float64)
    voice = 0.3 * np.sin(2 * np.pi * (180 * t + 5 * np.sin(2 * np.pi * 2.1 * t)))
    tone = 0.2 * np.sin(2 * np.pi * 930 * t) * np.sin(2 * np.pi * 2.7 * t) ** 2
    made: NDArray[np.float32] = (voice + tone + 0.04 * (2 * noise - 1)).astype(np.float32)
    return made


def test_which_states_a_prompt_takes(published: Golden) -> None:
    tables = [name for name in published.arrays if name.startswith("chunks/")]
    assert len(tables) >= 8
    for name in tables:
        rate, seconds = name.removeprefix("chunks/fps").split("_sec")
        table = prompt_table(int(16000 * float(seconds)), float(rate))
        np.testing.assert_array_equal(published[name], table)


def test_the_sinusoids(published: Golden) -> None:
    assert rel_max(sinusoids(50, 384), published["pe/table_first50"]) <= NETWORK


def test_speech_is_heard_as_published(published: Golden, networks: Networks) -> None:
    hearing = Hearing(filled(networks.encoder, "whisper_tiny_encoder", published))
    with torch.inference_mode():
        mel = hearing.mel_of_piece(torch.from_numpy(sound()))
        states = hearing.states(mel)
        prompts = hearing.of_file(torch.from_numpy(sound()))

    assert rel_max(mel[:, ::4, :260:2], published["whisper/mel_sample"]) <= NETWORK
    assert rel_max(states[:, :128:4, :, ::8], published["whisper/hidden_states"]) <= NETWORK
    assert (62, 50, 384) == prompts.shape
    picked = prompts[::8, ::5, ::8]
    assert rel_max(picked, published["whisper/audio_prompts_fps25"]) <= NETWORK
    placed = hearing.placed(prompts)[::8, ::5, ::8]
    assert rel_max(placed, published["whisper/audio_prompts_pe_fps25"]) <= NETWORK


@pytest.mark.slow
def test_pictures_become_latents_and_pictures_again(published: Golden, networks: Networks) -> None:
    vae = filled(networks.vae, "sd_vae_ft_mse", published)
    crop = torch.from_numpy(image("musetalk", "face_crop"))
    latent = uniform("musetalk", "vae_latent", (1, 4, 32, 32), -2, 2)
    with torch.inference_mode():
        masked = crop.clone()
        masked[:, :, 128:] = 0
        found = vae.encode(2 * torch.cat([masked, crop]) - 1).latent_dist
        decoded = vae.decode(torch.from_numpy(latent) / vae.config.scaling_factor).sample

    latents = found.mode().reshape(1, 8, 32, 32) * vae.config.scaling_factor
    assert rel_max(latents, published["vae/unet_latents_mode"]) <= NETWORK
    assert rel_max(found.logvar[1:], published["vae/ref_logvar"]) <= NETWORK
    assert rel_max(decoded[:, :, 1::2, ::2], published["vae/decoded_sample"]) <= NETWORK


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_face_is_painted_as_published(published: Golden, networks: Networks) -> None:
    """The U-Net alone, and the way from sound and latents to a picture. It takes 5 GB."""
    unet = filled(networks.unet, "unet", published)
    latents = uniform("musetalk", "unet_latents", (2, 8, 32, 32), -2, 2)
    audio = uniform("musetalk", "unet_audio", (2, 50, 384), -1.5, 1.5)
    with torch.inference_mode():
        told = unet(torch.from_numpy(latents), torch.tensor([0]), torch.from_numpy(audio)).sample
    assert rel_max(told, published["unet/out"]) <= NETWORK

    hearing = Hearing(filled(networks.encoder, "whisper_tiny_encoder", published))
    filled(networks.vae, "sd_vae_ft_mse", published)
    latents = published["vae/unet_latents_mode"]
    with torch.inference_mode():
        prompts = hearing.placed(hearing.of_file(torch.from_numpy(sound())))[40:41]
        told = unet(torch.from_numpy(latents), torch.tensor([0]), prompts).sample
    assert rel_max(told, published["e2e/pred_latents_frame40"]) <= CHAINED

    whole = 0, 0, 256, 256
    laying = Laying(whole, whole, np.full((256, 256), 255, np.uint8), torch.device("cpu"))
    on = Device.choose("musetalk", "cpu", "float32")
    with torch.inference_mode():
        painted = Painter(networks, laying, on).faces(told)[0].numpy()
    theirs = published["e2e/image_bgr_uint8_sample"].astype(np.int16)
    differences = np.abs(painted[::2, ::2, ::-1] - theirs)
    assert differences.max() <= 1
    assert (differences == 0).mean() >= 0.998


def test_faces_are_parsed_as_published(published: Golden) -> None:
    parser = FaceParser()
    assert published.sha256("face_parse_bisenet") == published.fill(parser, "face_parse_bisenet")
    picture = uniform("musetalk", "bisenet_image", (1, 3, 512, 512), -2, 2)
    with torch.inference_mode():
        heads = parser(torch.from_numpy(picture))
    for name, scores, step in zip(("out", "out16", "out32"), heads, (16, 32, 32), strict=True):
        theirs = published[f"face_parse_bisenet/{name}"]
        assert rel_max(scores[:, :, ::step, ::step], theirs) <= NETWORK


def test_masks_of_parsed_faces_are_the_published_ones(published: Golden) -> None:
    labels = published["blend/labels"]
    for name, mask in (
        ("raw", mask_of(labels, "raw")),
        ("neck", mask_of(labels, "neck")),
        ("jaw", mask_of(labels)),
        ("jaw_v1_cheek80", mask_of(labels, cheek=80)),
    ):
        np.testing.assert_array_equal(published[f"blend/parse_{name}"], mask)


def test_faces_are_laid_in_as_published(published: Golden) -> None:
    left, top, right, bottom = (int(edge) for edge in published["blend/face_box"])
    box = left, top, right, bottom
    square = square_around(box)
    assert published["blend/crop_box"].tolist() == list(square)
    side = square[2] - square[0]
    parsed = Image.fromarray(published["blend/parse_jaw"]).resize((side, side))
    inside = np.asarray(parsed, np.uint8)
    np.testing.assert_array_equal(published["blend/realtime_mask"], soft_mask(inside, box, square))
    for name, blur in (("offline", 0.05), ("realtime", 0.1)):
        mask = soft_mask(inside, box, square, blur)
        laying = Laying(box, square, mask, torch.device("cpu"))
        result = published["blend/input_frame_bgr"].copy()
        begin, above, end, below = laying.part
        part = result[above:below, begin:end]
        face = published["blend/input_face_bgr"]
        under, painted = (torch.from_numpy(each.copy()[None]) for each in (part, face))
        part[:] = laying(under, painted, torch.ones(1))[0].numpy()
        np.testing.assert_array_equal(published[f"blend/{name}_result_bgr"], result)
