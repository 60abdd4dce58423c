"""What the face SadTalker can be told."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

__all__ = ["SadTalkerSettings"]


@frozen(kw_only=True)
class SadTalkerSettings:
    weights: str = field(
        default="",
        metadata={
            "doc": "The folder with the published SadTalker_V0.0.2_256.safetensors and "
            "mapping_00229-model.pth.tar; empty, where maestra models keeps them"
        },
    )
    large: bool = field(
        default=False,
        metadata={"doc": "Draw 512 pixels wide, with SadTalker_V0.0.2_512.safetensors"},
    )
    style: int = field(
        default=0,
        metadata={"doc": "Which manner of moving the head", "minimum": 0, "maximum": 45},
    )
    pose: float = field(
        default=1.0,
        metadata={"doc": "How much the head moves while it speaks", "minimum": 0.0, "maximum": 2.0},
    )
    expression: float = field(
        default=1.0,
        metadata={"doc": "How much the mouth moves", "minimum": 0.0, "maximum": 2.0},
    )
    device: str = field(
        default="auto",
        metadata={"doc": "Where it runs, such as cuda:0 or cpu; auto: on a GPU if there is one"},
    )
    precision: Literal["auto", "float32", "float16", "bfloat16"] = field(
        default="auto",
        metadata={"doc": "Of the face renderer; auto: float16 on a GPU, else float32"},
    )
    batch: int = field(
        default=8,
        metadata={"doc": "Pictures drawn at once, at most", "minimum": 1, "maximum": 64},
    )
    compile: bool = field(
        default=False,
        metadata={"doc": "Compile the renderer with torch.compile: minutes more to begin with"},
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
