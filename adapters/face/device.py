"""What a face that draws by networks does with its device: the layout of the weights there, work
that is recorded once and played back, the copies back, and leaving it while nobody asks for
pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from attrs import frozen
from torch import Tensor

from maestra.ports.errors import FaceError, FaceOutOfMemory

from .tracing import stage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch.nn import Module

__all__ = [
    "Device",
    "Places",
    "Recorded",
    "Residence",
    "channels_last",
    "fetched",
    "in_stream",
    "no_room",
    "weights_of",
]

Places = Callable[[], Iterable[tuple[Any, str]]]
"""Where tensors are held: of each its holder and the name of the holder's attribute."""


_PRECISIONS: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def channels_last(network: Module) -> None:
    """Lay the weights of ``network`` out as convolutions like them best, in place."""
    for tensor in network.parameters():
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
        elif tensor.dim() == 5:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last_3d)


def weights_of(*networks: Module) -> Iterator[tuple[Any, str]]:
    """The ``Places`` of all parameters and buffers."""
    for network in networks:
        for tensor in (*network.parameters(), *network.buffers()):
            yield tensor, "data"


_WARM_UP, _WARM_UP_COMPILING = 20.0, 300.0


@frozen(kw_only=True)
class Device:
    """Where to draw, and how.

    ``sizes`` are the batches that are drawn: others are filled up to the next one, because fast
    work has a fixed shape. ``compiled`` and ``graphs`` say whether the work is compiled, and
    whether, on a GPU, it is recorded and played back.
    """

    device: torch.device
    precision: torch.dtype
    sizes: tuple[int, ...] = (1,)
    compiled: bool = False
    graphs: bool = False

    @classmethod
    def choose(
        cls,
        face: str,
        device: str,
        precision: str,
        *,
        most_at_once: int = 1,
        compiled: bool = False,
        graphs: bool = False,
    ) -> Device:
        """Where and how ``face`` draws. "auto": on a GPU if there is one, and there in half
        precision.

        :raises FaceError: there is no such device, or half precision is asked for on a CPU.
        """
        name = device
        if device == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            found = torch.device(name)
        except RuntimeError as error:
            raise FaceError(f"{face}: there is no device called {name!r}.") from error
        on_gpu = found.type == "cuda"
        if on_gpu and (found.index or 0) >= torch.cuda.device_count():
            raise FaceError(
                f"{face}: PyTorch finds no GPU {name} here; set its device to cpu, or auto."
            )
        if not on_gpu and precision not in ("auto", "float32"):
            raise FaceError(f"{face}: half precision is for a GPU; set its precision to float32.")
        if precision == "auto":
            precision = "float16" if on_gpu else "float32"
        doubling = [2**i for i in range(most_at_once.bit_length()) if 2**i < most_at_once]
        return cls(
            device=found,
            precision=_PRECISIONS[precision],
            sizes=(*doubling, most_at_once),
            compiled=compiled,
            graphs=graphs and on_gpu,
        )

    @property
    def on_gpu(self) -> bool:
        return bool(self.device.type == "cuda")

    @property
    def starts_cold(self) -> bool:
        """Whether the first pictures take longer than later ones."""
        return self.on_gpu or self.compiled

    @property
    def warm_up(self) -> float:
        """How much longer, in seconds, at most."""
        return _WARM_UP_COMPILING if self.compiled else _WARM_UP if self.on_gpu else 0.0

    @property
    def fixed_shapes(self) -> bool:
        """Whether a shape that was not seen before is slow."""
        return self.compiled or self.graphs

    def size_for(self, count: int) -> int:
        """The batch that ``count`` pictures are drawn in."""
        if not self.fixed_shapes:
            return count
        return next((size for size in self.sizes if size >= count), count)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, compiled at its first call of each shape if that was asked for."""
        return torch.compile(function, dynamic=False) if self.compiled else function

    def stream(self) -> torch.cuda.Stream | None:
        """A stream of its own on a GPU, beside what others do there."""
        return torch.cuda.Stream(self.device) if self.on_gpu else None

    def settle(self) -> None:
        """Wait for what was put there and made there, before another stream works with it."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)


def in_stream(stream: torch.cuda.Stream | None) -> AbstractContextManager[object]:
    """Work in ``stream``; ``None`` is where there are no streams."""
    return nullcontext() if stream is None else torch.cuda.stream(stream)


@contextmanager
def no_room(said: str, forget: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Say in the port's words that a GPU's memory is full.

    :param forget: called then: lets go of what can be made again.
    :raises FaceOutOfMemory: it is; its text is ``said``.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        forget()
        torch.cuda.empty_cache()
        raise FaceOutOfMemory(said) from error


@frozen(kw_only=True, eq=False)
class _Recording:
    """What the work on one size of a batch is given and makes when ``graph`` is played back."""

    graph: torch.cuda.CUDAGraph
    given: tuple[Tensor, ...]
    made: Tensor


class Recorded:
    """Work of fixed shapes that is recorded once for each size of a batch, a CUDA graph, and then
    played back: the host asks for all of it at once. Without ``on.graphs`` it is just done.

    What was recorded for one size shares its memory with the others: the result of a call has to be
    used before the next one.

    :param work: makes one tensor of tensors on the device.
    :param example: what it is given for a batch of so many, on the device.
    :param stream: the one that it is called in.
    """

    def __init__(
        self,
        work: Callable[..., Tensor],
        example: Callable[[int], tuple[Tensor, ...]],
        *,
        on: Device,
        stream: torch.cuda.Stream | None,
    ) -> None:
        self._work = work
        self._example = example
        self._on = on
        self._stream = stream
        self._recordings: dict[int, _Recording] = {}

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to be recorded."""
        return not self._on.graphs or len(self._recordings) == len(self._on.sizes)

    def __call__(self, *given: Tensor) -> Tensor:
        """``work`` of ``given``, tensors of a batch of one of ``on.sizes``, which need not be on
        the device. With the next call the result may change."""
        recording = self._recordings.get(len(given[0]))
        if recording is None:
            return self._work(*(each.to(self._on.device, non_blocking=True) for each in given))
        for kept, each in zip(recording.given, given, strict=True):
            kept.copy_(each, non_blocking=True)
        recording.graph.replay()
        return recording.made

    def record_one(self) -> None:
        """Record the work on the first size of a batch that is not recorded yet."""
        sizes = self._on.sizes if self._on.graphs else ()
        size = next((size for size in sizes if size not in self._recordings), None)
        if size is None:
            return
        given = self._example(size)
        for _ in range(3):  # compiles, and lets the libraries choose before anything is recorded
            self._work(*given)
        torch.cuda.synchronize(self._on.device)
        others = next(iter(self._recordings.values()), None)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            graph,
            pool=None if others is None else others.graph.pool(),
            stream=self._stream,
            capture_error_mode="thread_local",  # a voice may use the GPU in another thread
        ):
            made = self._work(*given)
        self._recordings[size] = _Recording(graph=graph, given=given, made=made)

    def forget(self) -> None:
        """Let go of what was recorded: the tensors that it works with are about to move."""
        self._recordings.clear()


def fetched(pictures: Tensor, stream: torch.cuda.Stream | None) -> NDArray[Any]:
    """``pictures`` on the host, when they are drawn: copied once, from a device into page-locked
    memory, which is its owner's from then on. PyTorch keeps such memory and gives it out again.

    :param stream: the one that they are drawn in; ``None`` where that is the CPU.
    """
    if stream is None:
        return pictures.numpy()  # type: ignore[no-any-return]
    host = torch.empty(pictures.shape, dtype=pictures.dtype, pin_memory=True)
    host.copy_(pictures, non_blocking=True)
    stream.synchronize()
    return host.numpy()  # type: ignore[no-any-return]


class Residence:
    """Keeps tensors, which nothing writes to, on a device while they are needed, and in host memory
    when they have not been for a time. They begin on the device.

    Speech needs them; idle pictures, which are asked for without end, don't: see ``at_rest``.

    :param unload_after: seconds without need after which they leave it; ``None``: they stay.
    :param leaving: called before they leave.
    :param replaced: whether idle pictures can do without them. If they can't, they stay for as long
        as there is work of any kind.
    """

    def __init__(
        self,
        places: Places,
        device: torch.device,
        *,
        unload_after: float | None = None,
        leaving: Callable[[], None] = lambda: None,
        replaced: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = places
        self._device = device
        self._unload_after = unload_after
        self._leaving = leaving
        self._replaced = replaced
        self._clock = clock
        self._lock = threading.Lock()
        self._copying = threading.Lock()
        self._needed = self._worked = clock()
        self._watched = False
        self._away = False
        self._copies: list[tuple[Any, str, Tensor]] = []

    @property
    def resident(self) -> bool:
        """Whether they are on the device, and not put away in host memory."""
        return not self._away

    @contextmanager
    def at_work(self) -> Iterator[bool]:
        """Have them on the device for as long as this lasts; nobody else may meanwhile. The value
        says whether they had to come back."""
        with self._lock:
            away = self._away
            self._come_back()
            yield away
            self._needed = self._worked = self._clock()
            self._watch()

    @contextmanager
    def at_rest(self) -> Iterator[bool | None]:
        """Likewise for what can be replaced: it doesn't count as need, and they don't come back for
        it; the value is ``None`` then."""
        with self._lock:
            away = self._away
            if away and self._replaced():
                yield None
            else:
                self._come_back()
                yield away
            self._worked = self._clock()
            self._watch()

    def unload(self) -> None:
        """Put them away now; they come back with the next work."""
        self._copy()
        with self._lock:
            self._put_away()
        self._give_back()

    def _copy(self) -> None:
        """Copy them to host memory, once. It takes page-locked memory, which takes longer than
        speech may wait: so it is done beside the work, and what was taken is kept."""
        with self._copying:
            if self._copies:
                return
            copies = []
            for holder, name in self._places():
                tensor = getattr(holder, name)
                on_gpu = self._device.type == "cuda"
                kept = torch.empty_like(tensor, device="cpu", pin_memory=on_gpu)
                copies.append((holder, name, kept.copy_(tensor)))
            self._copies = copies

    def _put_away(self) -> None:
        if self._away:
            return
        self._leaving()
        for holder, name, kept in self._copies:
            setattr(holder, name, kept)
        self._away = True

    def _give_back(self) -> None:
        """Give the device's memory back; without the lock, for it takes its time."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _come_back(self) -> None:
        if not self._away:
            return
        with stage("return"):
            for holder, name, kept in self._copies:
                # On the CPU, too, it is another tensor, so that this is seen to work there.
                back = torch.empty_like(kept, device=self._device)
                setattr(holder, name, back.copy_(kept, non_blocking=True))
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
        self._away = False

    def _watch(self) -> None:
        if self._unload_after is not None and not self._watched and not self._away:
            self._watched = True
            self._look_after(self._unload_after)

    def _look_after(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._look)
        timer.daemon = True
        timer.start()

    def _left(self) -> float:
        """Seconds for which they stay yet."""
        assert self._unload_after is not None
        since = self._needed
        if self._clock() >= since + self._unload_after and not self._replaced():
            since = self._worked
        return since + self._unload_after - self._clock()

    def _look(self) -> None:
        if self._left() <= 0:
            self._copy()
        with self._lock:
            left = self._left()
            leaves = left <= 0 and (self._away or bool(self._copies))
            if leaves:
                self._put_away()
                self._watched = False
        if leaves:
            self._give_back()
        else:
            self._look_after(max(left, _SOON))


_SOON = 0.1
"""Seconds after which is looked again, at least."""
