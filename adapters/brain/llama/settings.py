"""The settings of the llama brain."""

from __future__ import annotations

from attrs import field, frozen

__all__ = ["LlamaSettings"]


@frozen(kw_only=True)
class LlamaSettings:
    """Which model to run, and on what."""

    model: str = field(
        default="smollm2-135m",
        metadata={
            "doc": "A registered model's name, or the path of a GGUF file. The default proves that"
            " it runs; what it says is poor."
        },
    )
    gpu_layers: int = field(
        default=0,
        metadata={"doc": "How many of the model's layers run on the GPU; -1: all.", "minimum": -1},
    )
    context: int = field(
        default=2048,
        metadata={
            "doc": "How much the model can read and write at once. A prompt takes 1700 at most,"
            " about.",
            "unit": "tokens",
            "minimum": 256,
        },
    )
    threads: int = field(
        default=0,
        metadata={"doc": "On how many cores it runs; 0: on half of them.", "minimum": 0},
    )
    memory_gb: float = field(
        default=5.0,
        metadata={
            "doc": "More it may not take, of the GPU's memory and the machine's together. A model"
            " that would need more is not loaded.",
            "unit": "GiB",
            "minimum": 0.1,
        },
    )
    temperature: float = field(
        default=0.3,
        metadata={"doc": "How freely it writes; 0: always alike.", "minimum": 0, "maximum": 2},
    )
    max_tokens: int = field(
        default=160,
        metadata={"doc": "Where an answer is cut.", "minimum": 16, "maximum": 1024},
    )
