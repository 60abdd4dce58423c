"""The face MuseTalk: the idle cycle, and the mouth that is painted into it while it speaks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from maestra.core.persona import Manner
from maestra.ports.audio import FRAME_RATE

from ...weights import load_weights, read_weights
from ..colour import lay_planes
from ..device import Device, Residence, in_stream, no_room, weights_of
from ..portrait import prepared
from ..puppet.rig import SIZE, Rig
from ..seams import Seams
from ..streaming import REMEMBERED, Moment, StreamingFace
from ..tracing import stage
from .blending import Laying, cut_square, face_box, mesh_mask, soft_mask, square_around
from .cycle import Uploaded, cycle_key, cycle_poses, open_cycle
from .features import Hearing
from .gate import Gate, Shown
from .networks import PUBLISHED, Networks, Sizes, find_weights, fingerprint, load_networks
from .painter import PART, Painter, latents
from .settings import MuseTalkSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maestra.ports.audio import Picture

    from .blending import Box

__all__ = ["MuseTalk"]

_NO_ROOM = "There is no room on the GPU for so many pictures at once."


class MuseTalk(StreamingFace):
    """A face that speaks (``maestra.ports.face.Face``), 512 × 512 pixels.

    The first time that it is built for a portrait, its idle cycle is drawn and encoded, and kept in
    ``cache`` (absent, the user's cache directory).

    :param portrait: the picture; square where there is a ``mesh``.
    :param mesh: where its features are; absent, the face is found once (see ``open_portrait``).
    :param sizes: of the networks, others than the published ones for tests.
    :param networks: with their weights, which are taken to the device; absent, they are read from
        the folder in ``settings``. Faces of networks that are not the same need another ``cache``.
    :raises FaceError: the portrait or the mesh can't be read or don't fit each other, a face must
        be found and can't be, the device is not there, or a library is missing.
    :raises ModelMissing: weights are absent or are not those of these networks.
    """

    def __init__(
        self,
        portrait: Path,
        mesh: Path | None,
        settings: MuseTalkSettings,
        *,
        manner: Manner | None = None,
        seed: int = 0,
        cache: Path | None = None,
        sizes: Sizes = PUBLISHED,
        networks: Networks | None = None,
    ) -> None:
        on = Device.choose(
            "musetalk",
            settings.device,
            settings.precision,
            most_at_once=min(settings.batch, PART),
            compiled=settings.compile,
            graphs=settings.graphs,
        )
        if cache is None:
            import platformdirs

            cache = Path(platformdirs.user_cache_dir("maestra"))
        picture, known = prepared(portrait, mesh, cache / "portraits")

        with no_room(_NO_ROOM):
            if networks is None:
                files = find_weights(Path(settings.weights).expanduser())
                networks = load_networks(files, sizes)
                drawn_by = fingerprint(files["vae"])
            else:
                drawn_by = "networks that were given"
            networks.to(on.device, on.precision)
            self._hearing = Hearing(networks.encoder)
        super().__init__(
            look_back=self._hearing.look_back,
            look_ahead=self._hearing.look_ahead,
            most_at_once=settings.batch,
            seams=Seams(),
        )
        self.width = self.height = SIZE
        self.warm_up = on.warm_up

        placed = known.scaled((SIZE, SIZE))
        self._box = face_box(placed)
        square = square_around(self._box)
        manner = manner if manner is not None else Manner()
        count = round(settings.idle_seconds * FRAME_RATE)
        rig = Rig(picture, known)
        key = cycle_key(
            picture.tobytes(),
            known.to_json(),
            repr(manner),
            f"{seed} {count} {on.precision} {self._box}",
            drawn_by,
        )
        with no_room(_NO_ROOM):
            self._cycle = open_cycle(
                cache / "musetalk" / key,
                cycle_poses(manner, seed, count),
                draw=rig.draw,
                encode=partial(latents, networks),
                box=self._box,
            )
        mask = (
            _parsed_mask(Path(settings.parser).expanduser(), self._cycle.pictures[0], self._box)
            if settings.parser
            else mesh_mask(placed, self._box, square)
        )
        laying = Laying(self._box, square, mask, on.device)
        self._part = laying.part
        # On a CPU the pictures stay on disk, from which they are mapped.
        with no_room(_NO_ROOM):
            self._uploaded = Uploaded.of(self._cycle, self._part, on.device) if on.on_gpu else None
        self._painter = Painter(networks, laying, on)
        self._cold = on.starts_cold
        self._residence = Residence(
            lambda: chain(
                weights_of(networks.encoder, networks.vae, networks.unet), self._of_the_cycle()
            ),
            on.device,
            unload_after=settings.unload_after or None,
            leaving=self._painter.forget,
        )
        self._gate = Gate(self._hearing.look_back)
        self._told: OrderedDict[int, torch.Tensor] = OrderedDict()

    def draw(self, moments: Sequence[Moment]) -> Sequence[Picture]:
        """See ``StreamingFace``."""
        places = [moment.number % len(self._cycle) for moment in moments]
        shown = [self._gate.step(moment) for moment in moments]
        pictures = [np.array(self._cycle.planes[place]) for place in places]
        seen = [index for index, state in enumerate(shown) if state.share > 0]
        if not seen:
            self._prepare()
            return pictures
        full = no_room(_NO_ROOM, self._painter.forget)
        with (
            full,
            self._residence.at_work(),
            in_stream(self._painter.stream),
            torch.inference_mode(),
        ):
            with stage("encode"):
                self._hear([moments[index] for index in seen], [shown[index] for index in seen])
            latents, under = self._painted_from([places[index] for index in seen])
            painted = self._painter.paint(
                latents,
                torch.stack([self._told[moments[index].number] for index in seen]),
                under,
                torch.tensor([shown[index].share for index in seen]),
            )
        left, top, _, _ = self._part
        with stage("paste"):
            for part, index in zip(painted, seen, strict=True):
                lay_planes(pictures[index], part, left, top)
        return pictures

    def unload(self) -> None:
        """Leave the device now; it comes back with the next speech."""
        self._residence.unload()

    def _painted_from(self, places: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """The latents and what is under the mouth, at ``places`` of the cycle."""
        if self._uploaded is not None:
            return self._uploaded.at(places)
        left, top, right, bottom = self._part
        under = [self._cycle.pictures[place][top:bottom, left:right] for place in places]
        return (
            torch.from_numpy(self._cycle.latents[[*places]]),
            torch.from_numpy(np.stack(under)),
        )

    def _of_the_cycle(self) -> Iterator[tuple[Any, str]]:
        """See ``Places``."""
        if self._uploaded is not None:
            yield self._uploaded, "latents"
            yield self._uploaded, "under"

    def _prepare(self) -> None:
        """Nothing is to be painted now: time for what makes later pictures faster."""
        if not self._cold and (self._painter.complete or not self._residence.resident):
            return
        full = no_room(_NO_ROOM, self._painter.forget)
        with full, self._residence.at_work(), in_stream(self._painter.stream):
            if self._cold:
                self._painter.warm()
                self._cold = False
            else:
                self._painter.record_one()

    def _hear(self, moments: Sequence[Moment], shown: Sequence[Shown]) -> None:
        """Find out what each of ``moments`` is told. While the mouth shuts after the last word,
        that stays what it was."""
        while self._told and next(reversed(self._told)) >= moments[0].number:
            self._told.popitem()
        if not self._told or any(moment.speaking for moment in moments):
            prompts = self._hearing.prompts(
                torch.from_numpy(np.stack([moment.sound for moment in moments])),
                [max(state.spoken, 0) for state in shown],
            )
        for index, moment in enumerate(moments):
            held = not moment.speaking and self._told
            told = self._told[next(reversed(self._told))] if held else prompts[index]
            self._told[moment.number] = told
            while len(self._told) > REMEMBERED:
                self._told.popitem(last=False)


def _parsed_mask(weights: Path, picture: Picture, box: Box) -> NDArray[np.uint8]:
    """A face parser's mask of the cycle's first picture: the others differ by a few pixels."""
    from .parsing import FaceParser, parse

    parser = FaceParser()
    load_weights(parser, read_weights(weights), name="MuseTalk's face parser")
    square = square_around(box)
    inside = parse(parser, cut_square(picture, square))
    return soft_mask(inside, box, square)
