"""The recipe itself: the values it is known by, wherever it runs."""

from __future__ import annotations

import numpy as np
import pytest

from golden import recipe

NET = "appearance_feature_extractor"


@pytest.mark.parametrize(
    ("key", "shape", "first"),
    [
        ("first.conv.weight", (64, 3, 3, 3), [-0.20601517, -0.00236925134, 0.310852915]),
        ("first.norm.weight", (64,), [0.804019392, 0.958646715, 1.17819917]),
        ("first.norm.running_var", (64,), [0.943862677, 1.38562763, 0.509409606]),
    ],
)
def test_the_first_values_of_a_tensor(key: str, shape: tuple[int, ...], first: list[float]) -> None:
    made = recipe.weight("liveportrait", NET, key, shape)
    assert np.array_equal(np.array(first, np.float32), made.reshape(-1)[:3])


@pytest.mark.parametrize("net", [NET, "stitching", "lip", "eye"])
def test_the_checksum_of_a_whole_network(net: str) -> None:
    golden = recipe.golden("liveportrait")
    made = recipe.weights("liveportrait", net, golden.shapes(net), overrides=golden.overrides(net))
    assert golden.sha256(net) == recipe.recipe_sha256(made)


def test_an_8_bit_input_is_the_one_that_was_fed() -> None:
    fed = recipe.golden("liveportrait")["e2e/input_source_uint8"]
    assert np.array_equal(fed, recipe.image8("liveportrait", "e2e_source", 256))
