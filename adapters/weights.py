"""Weights from files, without running what is in the files, and strictly into their network."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maestra.ports.errors import ModelMissing

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

__all__ = ["fill_at_random", "load_weights", "read_weights"]

_PICKLED = (".pth", ".pt", ".bin", ".ckpt", ".model", ".tar")


def read_weights(path: Path, *, entry: str | None = None) -> Mapping[str, Tensor]:
    """The tensors in ``path`` by name, on the CPU, in the precision they were saved in.

    A ``.safetensors`` file holds nothing else. PyTorch's own formats (``.pth``, ``.pt``, ``.bin``,
    ``.ckpt``, ``.model``, ``.tar``) are pickles; they are read with PyTorch's reader for weights,
    which makes tensors and plain containers and refuses whatever would run code.

    :param entry: the dictionary to take out of a file that has several, one inside the other; in
        a ``.safetensors`` file, what is named ``entry`` and a dot and more.
    :raises ModelMissing: the file is absent, is of another kind, is damaged, or has more in it than
        weights.
    """
    if not path.is_file():
        raise ModelMissing(f"There are no weights at {path}.")
    if path.suffix == ".safetensors":
        return _safetensors(path, entry)
    if path.suffix in _PICKLED:
        return _pickled(path, entry)
    raise ModelMissing(
        f"{path.name} is no file of weights that is read here: "
        f"it is to end in .safetensors or one of {', '.join(_PICKLED)}."
    )


def _safetensors(path: Path, entry: str | None) -> Mapping[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ModelMissing(f"To read {path.name}, install maestra[faces].") from error
    try:
        state: Mapping[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelMissing(f"The weights {path.name} are damaged: {error}.") from error
    if entry is None:
        return state
    head = entry + "."
    inner = {key.removeprefix(head): value for key, value in state.items() if key.startswith(head)}
    if not inner:
        raise ModelMissing(f"The weights {path.name} have no entry {entry}.")
    return inner


def _pickled(path: Path, entry: str | None) -> Mapping[str, Tensor]:
    import torch

    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelMissing(
            f"{path.name} holds more than weights, or is damaged. Files that run code are not "
            "read; convert it to .safetensors."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, struct.error) as error:
        raise ModelMissing(f"The weights {path.name} are damaged: {error}.") from error
    if entry is not None:
        found = found.get(entry) if isinstance(found, Mapping) else None
        if found is None:
            raise ModelMissing(f"The weights {path.name} have no entry {entry}.")
    if not isinstance(found, Mapping) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in found.items()
    ):
        raise ModelMissing(
            f"{path.name} has something other than tensors where weights belong"
            + ("." if entry is None else f", in its entry {entry}.")
        )
    return found


def load_weights(
    network: Module,
    state: Mapping[str, Tensor],
    *,
    name: str,
    prefix: str = "",
    optional: Collection[str] = (),
    ignored: Collection[str] = (),
) -> None:
    """Put ``state`` into ``network``, every tensor in its place, and set it to evaluation.

    A network that was built on the ``meta`` device takes the tensors over; any other copies them,
    on its own device. Either way they come to the precision that the network was built in.

    :param name: what to call the weights where something is wrong.
    :param prefix: take only the keys that begin so, without it: ``"module."``.
    :param optional: endings of keys that may be absent from ``state``; such a tensor stays as the
        network made it. Not for a network on ``meta``.
    :param ignored: beginnings (after ``prefix``) of keys in ``state`` that the network has no use
        for.
    :raises ModelMissing: a key is missing, unexpected, or of another shape; the first one is named.
    """
    given = {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
    wanted = network.state_dict()
    for key, tensor in wanted.items():
        if key not in given:
            if not key.endswith(tuple(optional)):
                raise ModelMissing(f"The weights of {name} lack {prefix}{key}.")
        elif given[key].shape != tensor.shape:
            raise ModelMissing(
                f"In the weights of {name}, {prefix}{key} is {tuple(given[key].shape)} "
                f"where {tuple(tensor.shape)} belongs."
            )
    for key in given:
        if key not in wanted and not key.startswith(tuple(ignored)):
            raise ModelMissing(f"The weights of {name} have {prefix}{key}, which has no place.")
    fitting = {
        key: given[key].to(tensor.dtype) if key in given else tensor
        for key, tensor in wanted.items()
    }
    unmade = any(tensor.is_meta for tensor in wanted.values())
    network.load_state_dict(fitting, assign=unmade)
    network.eval()
    network.requires_grad_(False)


def fill_at_random(network: Module) -> None:
    """Have ``network`` know nothing, and set it to evaluation: for who asks how fast it is.

    What is on the ``meta`` device comes to the CPU, with numbers that neither vanish nor explode
    from layer to layer; any other weight stays as the network made it.
    """
    import torch

    if any(parameter.is_meta for parameter in network.parameters()):
        network.to_empty(device="cpu")
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0.0, parameter[0].numel() ** -0.5)
                else:
                    parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            for buffer in network.buffers():
                buffer.zero_()
    network.eval()
    network.requires_grad_(False)
