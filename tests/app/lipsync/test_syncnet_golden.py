"""SyncNet against what the published implementation computed with the recipe's weights."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from golden import recipe
from golden.recipe import Golden, rel_max

from maestra.app.experiments.lipsync.mfcc import mfcc
from maestra.app.experiments.lipsync.syncnet import Score, SyncNet, build, score

NETWORK = 5e-6


@pytest.fixture
def golden() -> Golden:
    return recipe.golden("syncnet")


@cache
def filled() -> SyncNet:
    networks = build()
    published = recipe.golden("syncnet")
    assert published.sha256("syncnet_v2") == published.fill(networks, "syncnet_v2")
    return SyncNet(networks)


def test_the_coefficients_of_the_sound(golden: Golden) -> None:
    assert rel_max(mfcc(golden["e2e/input_audio_int16"]), golden["e2e/mfcc"]) <= 1e-9


@pytest.mark.slow
def test_an_embedding_of_lips_and_of_sound(golden: Golden) -> None:
    network = filled()
    seen = recipe.uniform("syncnet", "lip_window", (2, 3, 5, 224, 224), 0, 255)
    heard = recipe.uniform("syncnet", "audio_window", (2, 1, 13, 20), -20, 20)
    assert rel_max(network.lip_features(seen), golden["stage/lip_feature"]) <= NETWORK
    assert rel_max(network.lips(seen), golden["stage/lip_embedding"]) <= NETWORK
    assert rel_max(network.sounds(heard), golden["stage/audio_embedding"]) <= NETWORK


def same(found: Score, golden: Golden, name: str) -> None:
    assert golden[f"{name}/offset"][0] == found.offset
    assert rel_max([found.lse_d], golden[f"{name}/lse_d"]) <= NETWORK
    assert rel_max([found.lse_c], golden[f"{name}/lse_c"]) <= NETWORK
    assert rel_max(found.mean, golden[f"{name}/mean_dist"]) <= NETWORK


def test_the_arithmetic_of_the_score(golden: Golden) -> None:
    lips = recipe.uniform("syncnet", "score_lip", (40, 64), -1, 1)
    tail = recipe.uniform("syncnet", "score_tail", (3, 64), -1, 1)
    noise = recipe.uniform("syncnet", "score_noise", (40, 64), -1, 1)
    sounds = np.concatenate([lips[3:], tail]) + np.float32(0.1) * noise
    found = score(lips, sounds)
    assert 3 == found.offset
    same(found, golden, "score")


@pytest.mark.slow
def test_a_whole_film(golden: Golden) -> None:
    base = golden["e2e/input_base_frame_bgr_uint8"]
    pictures = [np.roll(base, (3 * i, 7 * i * i % 224), axis=(0, 1)) for i in range(18)]
    sound = golden["e2e/input_audio_int16"]
    lips, sounds = filled().embed(pictures, sound)
    assert rel_max(lips[:, ::4], golden["e2e/lip_embeddings"]) <= NETWORK
    assert rel_max(sounds[:, ::4], golden["e2e/audio_embeddings"]) <= NETWORK
    for vshift in (15, 10):
        found = score(lips, sounds, vshift)
        name = f"e2e/vshift{vshift}"
        same(found, golden, name)
        assert rel_max(found.distances, golden[f"{name}/dists"]) <= NETWORK
        assert rel_max(found.confidence, golden[f"{name}/frame_conf_medfilt9"]) <= NETWORK
