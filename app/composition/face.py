"""The faces, in their order of turn, and those that are only measured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import attrs

from maestra.core.persona import Persona
from maestra.ports.errors import FaceError, ModelMissing
from maestra.ports.face import Face

from ..backends import CATALOGUE
from ..config import Config
from .chosen import settings, third_party
from .weights import stored

__all__ = ["NEURAL", "face_stages", "faces", "unlearnt_face", "weights_folder"]


def faces(config: Config, who: Persona) -> Sequence[tuple[str, Callable[[], Face]]]:
    """The faces in their order of turn; at their end the puppet, which needs next to nothing, and
    the portrait, still."""
    return [
        *(
            (name, partial(_face, name, config, who))
            for name in dict.fromkeys((*config.face.backend, "puppet"))
        ),
        ("still", partial(_still, config, who)),
    ]


def _face(name: str, config: Config, who: Persona) -> Face:
    if name == "puppet":
        from maestra.adapters.face.puppet import Puppet

        return _sized(Puppet(*_pictured(who), manner=who.manner, seed=1), config)
    if name in NEURAL:
        _see_that_it_can_keep_up(name, settings(config, "face", name).device)
        try:
            return _sized(_neural(name, config, who), config)
        except ImportError as error:
            extras = ",".join(("local", *CATALOGUE["face", name].extras))
            raise FaceError(
                f"the face {name} needs {error.name}: install maestra[{extras}]"
            ) from error
    built: Face = third_party("face", name, config.face, who)
    return built


NEURAL: Collection[str] = ("liveportrait", "musetalk", "sadtalker")
"""The faces that take seconds for a picture on a CPU."""


def _see_that_it_can_keep_up(name: str, device: str) -> None:
    """Refuse a face that would have to draw on a CPU and was not told to.

    :raises FaceError: there is no GPU.
    """
    if device != "auto":
        return
    try:
        import torch
    except ImportError:
        return  # whoever builds the face says what to install
    if not torch.cuda.is_available():
        raise FaceError(
            f"{name} needs a GPU, and PyTorch finds none here: on a CPU it takes seconds for a"
            " picture, which lasts 0.04 s. To have it all the same, set"
            f' face.options.{name}.device to "cpu".'
        )


def _neural(name: str, config: Config, who: Persona) -> Face:
    """A face that networks draw, with the weights that were chosen, or else the published ones.

    :raises ImportError: a package of it is not installed.
    """
    portrait, mesh = _pictured(who)
    chosen = settings(config, "face", name)
    chosen = attrs.evolve(chosen, weights=str(weights_folder(config, name)))
    match name:
        case "liveportrait":
            from maestra.adapters.face.liveportrait.face import LivePortrait

            size = config.face.size
            return LivePortrait(portrait, mesh, who.manner, 1, settings=chosen, size=size)
        case "musetalk":
            from maestra.adapters.face.musetalk.face import MuseTalk

            return MuseTalk(portrait, mesh, chosen, manner=who.manner, seed=1)
        case _:
            from maestra.adapters.face.sadtalker.face import SadTalker

            return SadTalker(portrait, mesh, chosen, manner=who.manner, seed=1)


def weights_folder(config: Config, name: str) -> Path:
    """The folder of a neural face's weights: the chosen one, or that of the published ones.

    :raises ModelMissing: it is not there.
    """
    chosen = settings(config, "face", name).weights
    if not chosen:
        large = name == "sadtalker" and settings(config, "face", name).large
        return stored("sadtalker-512" if large else name)
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        raise ModelMissing(f"face.options.{name}.weights: there is no folder {folder}")
    return folder


def _pictured(who: Persona) -> tuple[Path, Path | None]:
    """A persona's portrait, and its mesh if it has one."""
    from .. import personas

    return personas.portrait_path(who), personas.mesh_path(who)


def _sized(face: Face, config: Config) -> Face:
    from maestra.adapters.face.scaled import Scaled

    return face if face.width == config.face.size else Scaled(face, config.face.size)


def unlearnt_face(name: str, config: Config, who: Persona, cache: Path) -> Face:
    """A face as it is configured, but for its weights, which are numbers drawn at random, and the
    length of its idle movement: who measures its speed needs no others.

    :param cache: a folder for what it keeps; not one that other faces use.
    :raises ValueError: the face has no weights.
    """
    from maestra.adapters.weights import fill_at_random

    portrait, mesh = _pictured(who)
    chosen = settings(config, "face", name)
    if name == "liveportrait":
        from maestra.adapters.face.liveportrait.face import LivePortrait
        from maestra.adapters.face.liveportrait.networks import Networks as LivePortraitNetworks

        portraits = LivePortraitNetworks.unfilled()
        for network in portraits.by_name().values():
            fill_at_random(network)
        return LivePortrait(
            portrait, mesh, who.manner, 1, settings=chosen, networks=portraits, cache=cache
        )
    if name == "musetalk":
        from maestra.adapters.face.musetalk.face import MuseTalk
        from maestra.adapters.face.musetalk.networks import PUBLISHED
        from maestra.adapters.face.musetalk.networks import Networks as MuseTalkNetworks

        muses = MuseTalkNetworks.unfilled(PUBLISHED)
        for network in (muses.encoder, muses.vae, muses.unet):
            fill_at_random(network)
        short = attrs.evolve(chosen, idle_seconds=0.2)
        return MuseTalk(portrait, mesh, short, manner=who.manner, cache=cache, networks=muses)
    if name == "sadtalker":
        from maestra.adapters.face.sadtalker import networks as sadtalker
        from maestra.adapters.face.sadtalker.face import SadTalker

        sad = sadtalker.build()
        for attribute in attrs.fields(sadtalker.Networks):
            fill_at_random(getattr(sad, attribute.name))
        return SadTalker(portrait, mesh, chosen, manner=who.manner, cache=cache, networks=sad)
    raise ValueError(f"the face {name} has no weights")


def face_stages(
    tracer: Callable[[str], AbstractContextManager[object]],
) -> AbstractContextManager[None]:
    """A context in which ``tracer`` is entered where a face begins a stage of its work, with the
    stage's name, and left where it ends. For the faces of this process."""
    from maestra.adapters.face.tracing import traced

    return traced(tracer)


def _still(config: Config, who: Persona) -> Face:
    from maestra.adapters.face.still import Still

    portrait, _ = _pictured(who)
    return Still(portrait, size=config.face.size)
