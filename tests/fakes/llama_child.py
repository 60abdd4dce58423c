"""A child of the llama brain without a model: the real pipe, orders and answers.

What it does depends on the question: "die", "hang", "long", "too long", anything else is answered
word by word. It says what it had been told beforehand when asked "what do you know".
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from maestra.adapters.brain.llama.child import CannotAnswer, CannotLoad, serve

Messages = Sequence[Mapping[str, str]]


class FakeEngine:
    def __init__(self, settings: Mapping[str, Any]) -> None:
        if settings["model"].endswith("missing.gguf"):
            raise CannotLoad("missing.gguf is no GGUF file that llama.cpp knows")
        self._read: list[Messages] = []

    def prefill(self, messages: Messages, stop: Callable[[], bool]) -> tuple[int, bool]:
        self._read.append(messages)
        return 100, True

    def answer(
        self, messages: Messages, *, temperature: float, stop: Callable[[], bool]
    ) -> Iterator[tuple[str, bool]]:
        question = messages[-1]["content"]
        if "too long" in question:
            raise CannotAnswer("the prompt has 9000 tokens, more than the context")
        if "hang" in question:
            time.sleep(60)
        if "what do you know" in question:
            yield f"I read {len(self._read)}.", True
            return
        yield "Lovely tone. ", False
        yield "Now pl", False
        if "die" in question:
            print("out of memory", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if "long" in question:
            for _ in range(1000):
                time.sleep(0.005)
                if stop():
                    return
                yield "ay ", False
        yield "ay it slowly.", False
        yield "", True


if __name__ == "__main__":
    os._exit(serve(sys.stdin.buffer, sys.stdout.buffer, FakeEngine))
