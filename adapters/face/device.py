"""What a face that draws by networks does with its device: the layout of the weights there, the
copies back, and leaving it while nobody asks for pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from maestra.ports.errors import FaceError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.nn import Module

__all__ = ["HostCopies", "Places", "Residence", "channels_last", "chosen", "weights_of"]

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


def chosen(face: str, device: str, precision: str) -> tuple[torch.device, torch.dtype]:
    """Where and how precisely ``face`` draws. "auto": on a GPU if there is one, and there in half
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
    return found, _PRECISIONS[precision]


class HostCopies:
    """Copies of pictures from a device in page-locked memory, which is used again and again.

    :param stream: the one that the pictures are drawn in; ``None`` where that is the CPU.
    """

    def __init__(self, stream: torch.cuda.Stream | None) -> None:
        self._stream = stream
        self._pinned: dict[torch.Size, Tensor] = {}

    def fetch(self, pictures: Tensor) -> NDArray[Any]:
        """``pictures`` on the host, when they are drawn. They may change with the next call."""
        if self._stream is None:
            return pictures.numpy()  # type: ignore[no-any-return]
        pinned = self._pinned.get(pictures.shape)
        if pinned is None:
            pinned = torch.empty_like(pictures, device="cpu", pin_memory=True)
            self._pinned[pictures.shape] = pinned
        pinned.copy_(pictures, non_blocking=True)
        self._stream.synchronize()
        return pinned.numpy()  # type: ignore[no-any-return]


class Residence:
    """Keeps tensors on a device while they are needed, and in host memory when they have not been
    for a time. They begin on the device.

    :param unload_after: seconds without work after which they leave it; ``None``: they stay.
    :param leaving: called before they leave.
    """

    def __init__(
        self,
        places: Places,
        device: torch.device,
        *,
        unload_after: float | None = None,
        leaving: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = places
        self._device = device
        self._unload_after = unload_after
        self._leaving = leaving
        self._clock = clock
        self._lock = threading.Lock()
        self._used = clock()
        self._watched = False
        self._home: list[tuple[Any, str, Tensor]] = []

    @property
    def resident(self) -> bool:
        """Whether they are on the device, and not put away in host memory."""
        return not self._home

    @contextmanager
    def at_work(self) -> Iterator[bool]:
        """Have them on the device for as long as this lasts; nobody else may meanwhile. The value
        says whether they had to come back."""
        with self._lock:
            away = bool(self._home)
            self._come_back()
            yield away
            self._used = self._clock()
            if self._unload_after is not None and not self._watched:
                self._watched = True
                self._look_after(self._unload_after)

    def unload(self) -> None:
        """Put them away now; they come back with the next work."""
        with self._lock:
            self._put_away()

    def _put_away(self) -> None:
        if self._home:
            return
        self._leaving()
        on_gpu = self._device.type == "cuda"
        for holder, name in self._places():
            tensor = getattr(holder, name)
            kept = torch.empty_like(tensor, device="cpu", pin_memory=on_gpu)
            kept.copy_(tensor)
            setattr(holder, name, kept)
            self._home.append((holder, name, kept))
        if on_gpu:
            torch.cuda.empty_cache()

    def _come_back(self) -> None:
        for holder, name, kept in self._home:
            setattr(holder, name, kept.to(self._device, non_blocking=True))
        if self._home and self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._home.clear()

    def _look_after(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._look)
        timer.daemon = True
        timer.start()

    def _look(self) -> None:
        assert self._unload_after is not None
        with self._lock:
            left = self._used + self._unload_after - self._clock()
            if left <= 0:
                self._put_away()
                self._watched = False
        if left > 0:
            self._look_after(left)
