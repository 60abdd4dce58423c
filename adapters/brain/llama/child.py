"""The child process: it owns the model, reads orders and writes what the model does.

One JSON object a line, both ways. The first line that comes in is the settings. Orders are::

    {"do": "prefill", "messages": [...]}
    {"do": "answer", "id": 7, "messages": [...], "max_tokens": 160, "temperature": 0.3}
    {"do": "cancel", "id": 7}

and what goes out is::

    {"ready": true}                      the model is loaded
    {"failed": "..."}                    it cannot be, however often it is tried
    {"prefilled": 812, "whole": true}    so many tokens are in the cache; false: it was interrupted
    {"id": 7, "text": "You kept"}
    {"id": 7, "end": "stop"}             or "length", "cancelled"
    {"id": 7, "error": "..."}            this one cannot be answered

An answer interrupts a prefill. Of orders that wait there are at most sixteen: beyond that a prefill
is left out, as the next one says all of it again, and an answer is refused. When its input ends,
the process does.
"""

from __future__ import annotations

import codecs
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, Protocol

__all__ = ["CannotAnswer", "CannotLoad", "Engine", "main", "memory_needed", "serve"]

_STEP: Final = 32
"""How many tokens of a prompt are read at once: between two steps an order is looked for."""

_MOST_ORDERS: Final = 16

_HALF: Final = 2  # bytes of a cached value
_GIB: Final = 2**30
_OWN_COST: Final = 0.15 * _GIB
"""What llama.cpp's buffers and this process take besides weights and cache, about."""

_Stop = Callable[[], bool]
_Messages = Sequence[Mapping[str, str]]


class CannotLoad(Exception):
    """The model cannot be loaded, and trying again won't help. The text says what would."""


class CannotAnswer(Exception):
    """This chat cannot be answered; another may."""


class Engine(Protocol):
    """What runs the model. ``stop`` is asked often; once it is true, soon nothing more is done."""

    def prefill(self, messages: _Messages, stop: _Stop) -> tuple[int, bool]:
        """Read ``messages`` into the cache: how many tokens are there, and whether that is all."""
        ...

    def answer(
        self, messages: _Messages, *, temperature: float, stop: _Stop
    ) -> Iterator[tuple[str, bool]]:
        """Answer, token by token: its text, and whether the answer ended with it.

        :raises CannotAnswer: it is too long for the context.
        """
        ...


def serve(orders: IO[bytes], wire: IO[bytes], load: Callable[[Mapping[str, Any]], Engine]) -> int:
    """Do what comes over ``orders`` until that ends, telling of it on ``wire``.

    :returns: the exit status of a process that could not load its model.
    """

    def tell(line: Mapping[str, object]) -> None:
        wire.write(json.dumps(line).encode() + b"\n")
        wire.flush()

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when its orders do
    settings = json.loads(orders.readline() or b"{}")
    try:
        engine = load(settings)
    except CannotLoad as error:
        tell({"failed": str(error)})
        return 1
    tell({"ready": True})
    todo: queue.Queue[dict[str, Any]] = queue.Queue(_MOST_ORDERS)
    cancelled: set[int] = set()

    def read() -> None:
        for line in orders:
            order = json.loads(line)
            if order["do"] == "cancel":
                cancelled.add(order["id"])
                continue
            try:
                todo.put_nowait(order)
            except queue.Full:
                if order["do"] != "prefill":
                    tell({"id": order["id"], "error": "too many answers are waited for"})
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        order = todo.get()
        if order["do"] == "prefill":
            if todo.empty():  # else there is something newer
                count, whole = engine.prefill(order["messages"], lambda: not todo.empty())
                tell({"prefilled": count, "whole": whole})
            continue
        number = order["id"]
        try:
            end = _answer(engine, order, cancelled, tell)
        except CannotAnswer as error:
            tell({"id": number, "error": str(error)})
        else:
            tell({"id": number, "end": end})
        cancelled.discard(number)


def _answer(
    engine: Engine,
    order: Mapping[str, Any],
    cancelled: set[int],
    tell: Callable[[Mapping[str, object]], None],
) -> str:
    number = order["id"]
    left = order["max_tokens"]
    for text, ended in engine.answer(
        order["messages"], temperature=order["temperature"], stop=lambda: number in cancelled
    ):
        if number in cancelled:
            return "cancelled"
        if text:
            tell({"id": number, "text": text})
        if ended:
            return "stop"
        left -= 1
        if not left:
            return "length"
    return "cancelled" if number in cancelled else "length"


# --- llama.cpp ------------------------------------------------------------------------------------


class _Llama:
    """The model, by llama-cpp-python."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        try:
            import llama_cpp
            from llama_cpp.llama_chat_format import Jinja2ChatFormatter
        except (ImportError, OSError, RuntimeError) as error:
            raise CannotLoad(f"llama-cpp-python cannot be imported: {error}") from error
        model, layers = settings["model"], settings["gpu_layers"]
        if layers and not llama_cpp.llama_supports_gpu_offload():
            raise CannotLoad(
                "llama-cpp-python was built without a GPU: build it for yours, or set"
                " brain.options.llama.gpu_layers to 0"
            )
        try:
            known = llama_cpp.Llama(model, vocab_only=True, verbose=False)
        except ValueError as error:
            raise CannotLoad(f"{Path(model).name} is no GGUF file that llama.cpp knows") from error
        template = known.metadata.get("tokenizer.chat_template")
        if not template:
            raise CannotLoad(f"{Path(model).name} has no chat template: take an instruct model")
        _check_memory(known.metadata, settings)
        known.close()
        if not layers:
            _limit_memory(settings["memory_gb"])
        if settings.get("plain"):
            _use_plain_kernels()
        threads = settings["threads"] or max(1, (os.cpu_count() or 2) // 2)
        self._llama: Any = llama_cpp.Llama(
            model,
            n_ctx=settings["context"],
            n_batch=_STEP,
            n_ubatch=_STEP,
            n_gpu_layers=layers,
            n_threads=threads,
            n_threads_batch=threads,
            verbose=False,
        )
        self._is_end: Callable[[Any, int], bool] = llama_cpp.llama_vocab_is_eog
        self._end, self._begin = (self._text_of(token) for token in self._ends())
        self._format = Jinja2ChatFormatter(
            template=template, eos_token=self._end, bos_token=self._begin
        )

        # A processor that promises more than it keeps shows it here, and not in the first answer.
        self._llama.eval([max(0, self._llama.token_bos())] * _STEP)
        self._llama.reset()
        self._firm = 0  # so many tokens of the cache were read in whole steps

    def _ends(self) -> tuple[int, int]:
        return self._llama.token_eos(), self._llama.token_bos()

    def _text_of(self, token: int) -> str:
        """A special token as the template writes it."""
        return str(self._llama._model.token_get_text(token)) if token >= 0 else ""

    def prefill(self, messages: _Messages, stop: _Stop) -> tuple[int, bool]:
        tokens = self._tokens(messages)
        whole = len(tokens) < self._llama.n_ctx() and self._read(tokens, stop)
        return self._llama.n_tokens, whole

    def answer(
        self, messages: _Messages, *, temperature: float, stop: _Stop
    ) -> Iterator[tuple[str, bool]]:
        llama = self._llama
        tokens = self._tokens(messages)
        room = llama.n_ctx() - len(tokens)
        if room < 1:
            raise CannotAnswer(
                f"the prompt has {len(tokens)} tokens, more than the context: raise"
                " brain.options.llama.context"
            )
        if not self._read(tokens, stop):
            return
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        before = list(tokens)
        for token in llama.generate(tokens, temp=temperature, repeat_penalty=1.05):
            if self._is_end(llama._model.vocab, token):
                yield decode(b"", final=True), True
                return
            yield decode(llama.detokenize([token], prev_tokens=before[-8:])), False
            room -= 1
            if stop() or room < 1:
                return
            before.append(token)

    def _tokens(self, messages: _Messages) -> list[int]:
        prompt = self._format(messages=list(messages)).prompt
        begins = bool(self._begin) and prompt.startswith(self._begin)
        found: list[int] = self._llama.tokenize(prompt.encode(), add_bos=not begins, special=True)
        return found

    def _read(self, tokens: Sequence[int], stop: _Stop) -> bool:
        """Read ``tokens`` into the cache, those that it begins with aside.

        The steps always begin at the same places, and what is kept was read in whole ones: a token
        that is read with others is rounded in another way than alone, and what an answer says must
        not depend on what was asked before it.
        """
        llama = self._llama
        known = llama.n_tokens
        kept = 0
        for ours, theirs in zip(tokens, llama.input_ids[: self._firm].tolist(), strict=False):
            if ours != theirs:
                break
            kept += 1
        kept = min(kept, len(tokens) - 1)  # the last one is read in any case: it is gone on from
        kept -= kept % _STEP
        # Not every kind of memory can be cut short.
        if kept < known and not llama._ctx.kv_cache_seq_rm(-1, kept, -1):
            kept = 0
        llama.n_tokens = self._firm = kept
        for at in range(kept, len(tokens), _STEP):
            if stop():
                return False
            step = tokens[at : at + _STEP]
            llama.eval(step)
            if len(step) == _STEP:
                self._firm += _STEP
        return True


def _check_memory(metadata: Mapping[str, str], settings: Mapping[str, Any]) -> None:
    """Refuse a model that will not fit.

    :raises CannotLoad: weights, cache and the rest would be more than the ceiling.
    """
    need = memory_needed(Path(settings["model"]).stat().st_size, metadata, settings["context"])
    ceiling = settings["memory_gb"]
    if need > ceiling * _GIB:
        raise CannotLoad(
            f"{Path(settings['model']).name} would take about {need / _GIB:.1f} GiB, and"
            f" brain.options.llama.memory_gb is {ceiling:g}: take a smaller file, or raise it"
        )


def memory_needed(weights: int, metadata: Mapping[str, str], context: int) -> float:
    """What a model takes (bytes), by the size of its file, the GGUF's metadata and the context."""
    return weights + context * _cached_bytes(metadata) + _OWN_COST


def _cached_bytes(metadata: Mapping[str, str]) -> int:
    """What the cache keeps of one token: a key and a value for each layer's heads."""
    kind = metadata.get("general.architecture", "")

    def number(name: str, default: int) -> int:
        text = metadata.get(f"{kind}.{name}", "")
        return int(text) if text.isdecimal() else default

    heads = number("attention.head_count", 32)
    size = number("embedding_length", 4096) // max(1, heads)
    keys = number("attention.key_length", size)
    values = number("attention.value_length", size)
    kept = number("attention.head_count_kv", heads)
    return number("block_count", 32) * kept * (keys + values) * _HALF


def _limit_memory(ceiling_gb: float) -> None:
    """Have the system refuse what goes beyond the ceiling, above what the process has now.

    Not with a GPU: its driver reserves far more addresses than it will ever use.
    """
    try:
        import resource
    except ImportError:  # no such limit on this system
        return
    statm = Path("/proc/self/statm")
    now = int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 0
    limit = now + int(ceiling_gb * _GIB)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY or limit < most:
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def _use_plain_kernels() -> None:
    """Have weights laid out for every processor, not for what this one says of itself.

    In some virtual machines the processor claims AMX and faults at its first use.
    """
    from llama_cpp import llama_cpp as library

    defaults = library.llama_model_default_params

    def plain() -> Any:
        made = defaults()
        made.use_extra_bufts = False
        return made

    library.llama_model_default_params = plain


def _go_first() -> None:
    """Where memory runs out, it is this process that the system should end, not the lesson."""
    wish = Path("/proc/self/oom_score_adj")
    try:
        wish.write_text("800")
    except OSError:
        return  # not Linux, or not allowed


def main() -> int:
    # What libraries print must not get between the lines that are sent.
    wire = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _go_first()
    return serve(sys.stdin.buffer, wire, _Llama)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # the reading thread may stand in a read
