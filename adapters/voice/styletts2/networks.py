"""All networks of a checkpoint, and how its weights come into them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from attrs import frozen
from torch import Tensor, nn

from maestra.ports.errors import ModelMissing

from ...libraries import spare_torchaudio
from ...weights import load_weights, read_weights
from .decoder import Decoder
from .diffusion import StyleTransformer
from .encoders import StyleEncoder, TextEncoder
from .prosody import ProsodyPredictor

__all__ = ["CHECKPOINT", "PUBLISHED", "Networks", "Sizes", "folded", "read_networks"]

CHECKPOINT: Final = "epochs_2nd_00020.safetensors"
"""What `maestra models` makes of the published file."""


@frozen(kw_only=True)
class Sizes:
    """How large the networks are. The defaults are the published LibriTTS checkpoint's.

    ``sigma_data`` is the spread of the styles that the diffusion was trained on: it is measured in
    training, and the checkpoint's own configuration has it.
    """

    symbols: int = 178
    features: int = 512
    style: int = 128
    depth: int = 3
    longest: int = 50
    style_channels: int = 64
    bert: int = 768
    bert_layers: int = 12
    bert_heads: int = 12
    bert_inner: int = 2048
    bert_embedding: int = 128
    positions: int = 512
    heads: int = 8
    head: int = 64
    multiplier: int = 2
    decoder_width: int = 1024
    decoder_residual: int = 64
    decoder_channels: int = 512
    rates: tuple[int, ...] = (10, 5, 3, 2)
    kernels: tuple[int, ...] = (20, 10, 6, 4)
    sigma_data: float = 0.2


PUBLISHED: Final = Sizes()


class Networks(nn.Module):
    """The networks that speech needs, each under the name that it has in the checkpoint."""

    def __init__(self, sizes: Sizes = PUBLISHED) -> None:
        spare_torchaudio()
        from transformers import AlbertConfig, AlbertModel

        super().__init__()
        self.sizes = sizes
        self.text_encoder = TextEncoder(
            channels=sizes.features, depth=sizes.depth, symbols=sizes.symbols
        )
        self.bert = AlbertModel(
            AlbertConfig(
                vocab_size=sizes.symbols,
                embedding_size=sizes.bert_embedding,
                hidden_size=sizes.bert,
                num_hidden_layers=sizes.bert_layers,
                num_attention_heads=sizes.bert_heads,
                intermediate_size=sizes.bert_inner,
                max_position_embeddings=sizes.positions,
            ),
            add_pooling_layer=False,
        )
        self.bert_encoder = nn.Linear(sizes.bert, sizes.features)
        self.style_encoder = self._style_encoder()
        self.predictor_encoder = self._style_encoder()
        self.diffusion = StyleTransformer(
            channels=2 * sizes.style,
            embedding=sizes.bert,
            depth=3,
            heads=sizes.heads,
            head=sizes.head,
            multiplier=sizes.multiplier,
            longest=sizes.positions,
        )
        self.predictor = ProsodyPredictor(
            style=sizes.style, features=sizes.features, depth=sizes.depth, longest=sizes.longest
        )
        self.decoder = Decoder(
            features=sizes.features,
            style=sizes.style,
            width=sizes.decoder_width,
            residual=sizes.decoder_residual,
            channels=sizes.decoder_channels,
            rates=sizes.rates,
            kernels=sizes.kernels,
        )

    def _style_encoder(self) -> StyleEncoder:
        sizes = self.sizes
        return StyleEncoder(channels=sizes.style_channels, most=sizes.features, style=sizes.style)


_NAMES: Final = (
    "text_encoder",
    "bert",
    "bert_encoder",
    "style_encoder",
    "predictor_encoder",
    "diffusion",
    "predictor",
    "decoder",
)

_NOT_NEEDED: Final = (
    "embeddings.position_ids",  # a table of 0, 1, 2 …
    "embeddings.token_type_ids",
    "pooler.",  # of the sentence as a whole, which nothing reads
)


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` with each weight norm and each spectral norm multiplied out.

    A weight norm keeps a direction (``weight_v``) and a length (``weight_g``) for each output; a
    spectral norm keeps the weight (``weight_orig``) and the two vectors that tell its size.
    """
    plain: dict[str, Tensor] = {}
    for key, value in state.items():
        stem, _, leaf = key.rpartition(".")
        stem = f"{stem}." if stem else ""
        match leaf:
            case "weight_g":
                direction = state[f"{stem}weight_v"].float()
                over = tuple(range(1, direction.dim()))
                length = direction.pow(2).sum(over, keepdim=True).sqrt()
                plain[f"{stem}weight"] = direction * (value.float() / length)
            case "weight_orig":
                matrix = value.float().flatten(1)
                u, v = state[f"{stem}weight_u"].float(), state[f"{stem}weight_v"].float()
                plain[f"{stem}weight"] = value.float() / torch.dot(u, matrix @ v)
            case "weight_u" | "weight_v":
                continue
            case _:
                plain[key] = value
    return plain


def read_networks(folder: Path, sizes: Sizes | None = None) -> Networks:
    """The networks with the weights in ``folder``, on the CPU in float32.

    :param sizes: absent, the published ones, with what the folder's ``config.yml`` says.
    :raises ModelMissing: the file is absent or damaged, or a weight is missing, misshapen or has no
        place; the first one is named.
    """
    state = _read(folder / CHECKPOINT)
    with torch.device("meta"):
        networks = Networks(sizes or _sizes(folder))
    for name in _NAMES:
        load_weights(
            networks.get_submodule(name),
            {f"{name}.{key}": value for key, value in folded(_part(state, name)).items()},
            name="StyleTTS2",
            prefix=f"{name}.",
            ignored=_NOT_NEEDED,
        )
    networks.eval()
    return networks


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise ModelMissing(
            f"StyleTTS2's weights are not at {path}: maestra models fetch styletts2 brings them,"
            " maestra models import styletts2 FOLDER takes them from a folder"
        )
    return read_weights(path)


def _sizes(folder: Path) -> Sizes:
    path = folder / "config.yml"
    if not path.is_file():
        return PUBLISHED
    import yaml
    from attrs import evolve

    try:
        read: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        model = read["model_params"]
        if model["decoder"]["type"] != "hifigan":
            raise ModelMissing(
                f"{path.name} is of a decoder {model['decoder']['type']!r}; only hifigan is spoken"
            )
        return evolve(PUBLISHED, sigma_data=float(model["diffusion"]["dist"]["sigma_data"]))
    except (yaml.YAMLError, KeyError, TypeError, ValueError, OSError) as error:
        raise ModelMissing(f"{path.name} is not the configuration of a StyleTTS2: {error}") from (
            error
        )


def _part(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The weights of network ``name``, by their own keys: without what trainers put in front."""
    for front in (f"net.{name}.module.", f"net.{name}.", f"{name}.module.", f"{name}."):
        found = {
            key.removeprefix(front): value for key, value in state.items() if key.startswith(front)
        }
        if found:
            break
    else:
        raise ModelMissing(f"StyleTTS2's weights lack {name}")
    if name == "diffusion":
        # The network is saved twice, under both names it is known by.
        fronts = ("diffusion.net.", "unet.", "")
        front = next(one for one in fronts if any(key.startswith(one) for key in found))
        found = {
            key.removeprefix(front): value for key, value in found.items() if key.startswith(front)
        }
    return found
