"""CUDA graphs without a GPU: what PyTorch was asked to do is done again, at the same places in
memory, and nothing of what Python did in between."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["FakeGraph", "fake_graphs"]


class FakeGraph:
    """Stands for ``torch.cuda.CUDAGraph``."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Any, Any, Any]] = []
        self.replays = 0

    def pool(self) -> tuple[int, int]:
        return 0, 1

    def replay(self) -> None:
        self.replays += 1
        for function, given, named, made in self.asked:
            again = function(*given, **named)
            for old, new in zip(tree_leaves(made), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class _Recording(TorchDispatchMode):  # type: ignore[misc,unused-ignore]
    """Stands for ``torch.cuda.graph``."""

    def __init__(self, graph: FakeGraph, **how: object) -> None:
        super().__init__()
        assert how["capture_error_mode"] == "thread_local"
        self._graph = graph

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # A graph can't hand a number to the host.
        assert func is not torch.ops.aten._local_scalar_dense.default
        made = func(*args, **(kwargs or {}))
        self._graph.asked.append((func, args, kwargs or {}, made))
        return made


def fake_graphs(monkeypatch: pytest.MonkeyPatch) -> list[FakeGraph]:
    """Have graphs recorded on the CPU; those that were."""
    made: list[FakeGraph] = []

    def graph() -> FakeGraph:
        made.append(FakeGraph())
        return made[-1]

    monkeypatch.setattr(torch.cuda, "CUDAGraph", graph)
    monkeypatch.setattr(torch.cuda, "graph", _Recording)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    return made
