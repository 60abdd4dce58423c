"""What the face MuseTalk can be told."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

__all__ = ["MuseTalkSettings"]


@frozen(kw_only=True)
class MuseTalkSettings:
    """What can be chosen of MuseTalk."""

    weights: str = field(
        default="",
        metadata={
            "doc": "The folder with the weights of U-Net, autoencoder and speech encoder; empty,"
            " where maestra models keeps them"
        },
    )
    parser: str = field(
        default="",
        metadata={
            "doc": "Weights of a face parser, whose mask of the skin takes the place of the one "
            "that is drawn from the portrait's mesh; empty, none"
        },
    )
    device: str = field(
        default="auto",
        metadata={"doc": "Where it runs, such as cuda:0 or cpu; auto: on a GPU if there is one"},
    )
    precision: Literal["auto", "float32", "float16", "bfloat16"] = field(
        default="auto", metadata={"doc": "Of the networks; auto: float16 on a GPU, else float32"}
    )
    batch: int = field(
        default=8,
        metadata={"doc": "Pictures drawn at once, at most", "minimum": 1, "maximum": 64},
    )
    compile: bool = field(
        default=False,
        metadata={"doc": "Compile the networks when they are first used, which takes minutes"},
    )
    graphs: bool = field(
        default=True,
        metadata={"doc": "On a GPU, record the work on a picture once and play it back"},
    )
    unload_after: float = field(
        default=0.0,
        metadata={
            "doc": "Leave the GPU after so long without speech; 0 stays",
            "unit": "seconds",
            "minimum": 0.0,
        },
    )
    idle_seconds: float = field(
        default=10.0,
        metadata={
            "doc": "How long the idle movement lasts before it begins again",
            "unit": "s",
            "minimum": 1.0,
            "maximum": 60.0,
        },
    )
