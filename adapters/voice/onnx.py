"""How onnxruntime runs a voice."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from onnxruntime import InferenceSession

__all__ = ["session"]


def session(
    model: Path | bytes, *, threads: int, provider: str = "CPUExecutionProvider"
) -> InferenceSession:
    """Load ``model``, a file or what is in one, for clauses of any length beside a face that draws.

    :param threads: how many cores one run may use.
    :raises Exception: whatever onnxruntime raises of a model that it cannot read.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Every piece has another length; the arena would keep the largest of each shape for good.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # A spinning pool would take the core on which the next picture is drawn.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model),
        sess_options=options,
        providers=[provider],
    )
