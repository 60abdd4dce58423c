"""Published models: where they are, and whether their weights fit the networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maestra.ports.errors import ModelMissing

from .. import model_store

__all__ = ["check_weights", "fill", "stored"]


def stored(name: str) -> Path:
    """The folder of a published model.

    :raises ModelMissing: a file of it is not there, or is not the one that came.
    """
    if absent := model_store.missing(name):
        raise ModelMissing(
            f"the model {name} is not here ({absent[0].name} is missing): maestra models fetch"
            f" {name} brings it from the hub, maestra models import {name} FOLDER from a folder"
        )
    model_store.check(name)
    return model_store.folder(name)


def check_weights(name: str) -> bool:
    """Load the weights of a published model into its networks.

    :returns: whether there are networks of ours for it.
    :raises ModelMissing: a weight is missing, misshapen or has no place; the first one is named.
    """
    folder = stored(name)
    if name == "liveportrait":
        from maestra.adapters.face.liveportrait.networks import read_networks

        read_networks(folder)
    elif name == "musetalk":
        from maestra.adapters.face.musetalk.networks import find_weights, load_networks

        load_networks(find_weights(folder))
    elif name in ("sadtalker", "sadtalker-512"):
        from maestra.adapters.face.sadtalker import networks

        networks.load(folder, large=name == "sadtalker-512")
    elif name == "styletts2":
        from maestra.adapters.voice.styletts2.networks import read_networks as read_voice

        read_voice(folder)
    elif name == "syncnet":
        from ..experiments.lipsync.syncnet import SyncNet

        SyncNet.load(folder / "syncnet_v2.safetensors")
    else:
        return False
    return True


def fill(network: Any, weights: Path, *, name: str, optional: Sequence[str] = ()) -> None:
    """Put published weights, which nothing runs, into a network that is no adapter's.

    :param name: what to call the weights where something is wrong.
    :param optional: endings of keys that they may lack.
    :raises ModelMissing: they are absent, or not those of the network.
    """
    from maestra.adapters.weights import load_weights, read_weights

    load_weights(network, read_weights(weights), name=name, optional=optional)
