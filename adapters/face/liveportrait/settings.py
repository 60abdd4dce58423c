"""How LivePortrait is to be run."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

__all__ = ["LivePortraitSettings"]


@frozen(kw_only=True)
class LivePortraitSettings:
    weights: str = field(
        default="",
        metadata={
            "doc": "The folder with the published weights, .safetensors or .pth: the one that has"
            " base_models and retargeting_models in it. Empty: the one that maestra models keeps."
        },
    )
    device: Literal["auto", "cuda", "cpu"] = field(
        default="auto",
        metadata={"doc": "Where it draws; auto takes the GPU if there is one."},
    )
    precision: Literal["auto", "float32", "float16", "bfloat16"] = field(
        default="auto",
        metadata={
            "doc": "Of the networks that draw every picture; auto is float16 on a GPU. Keypoints"
            " are always float32."
        },
    )
    most_at_once: int = field(
        default=4,
        metadata={
            "doc": "How many pictures are drawn at once at most.",
            "minimum": 1,
            "maximum": 16,
        },
    )
    compile: bool = field(
        default=False,
        metadata={"doc": "Compile the networks with torch.compile: a minute more to begin with."},
    )
    graphs: bool = field(
        default=True,
        metadata={"doc": "On a GPU, record the work on a picture once and play it back."},
    )
    unload_after: float = field(
        default=0.0,
        metadata={
            "doc": "Leave the GPU after so long without speech; 0 stays.",
            "unit": "seconds",
            "minimum": 0.0,
        },
    )
    landmarks: str = field(
        default="",
        metadata={
            "doc": "The published landmark.onnx, for a crop by its 203 points; without it the crop"
            " is made by the portrait's mesh."
        },
    )
