"""``python -m maestra.app.experiments.lipsync VIDEO [--weights FOLDER] [--mesh MESH]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maestra.ports.errors import MaestraError, ModelMissing

from ... import composition, model_store
from ..bench.recording import mouth_box, mouth_of
from .film import Film, face_box, lip_crops, mouth_in, read
from .lag import LAGS, LipLag, lip_lag, motions
from .mfcc import RATE_HZ

if TYPE_CHECKING:
    from .syncnet import Score

__all__ = ["main"]

_WEIGHTS = ("syncnet_v2.safetensors", "syncnet_v2.model")
"""As the store keeps them, and as they are published."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a film, print what was found as JSON, and leave it with a plot in a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m maestra.app.experiments.lipsync",
        description="How well the lips go with the sound: LSE-D, LSE-C and offset by SyncNet where "
        "its weights are, and the lip lag by itself.",
    )
    parser.add_argument("video", type=Path, help="a film of one face that speaks")
    parser.add_argument(
        "--weights",
        type=Path,
        help=f"the folder with SyncNet's {' or '.join(_WEIGHTS)}; absent, where maestra models "
        "keeps them, if they are there",
    )
    parser.add_argument(
        "--mesh", type=Path, help="the mesh of the portrait that is shown, where a face was drawn"
    )
    parser.add_argument("--out", type=Path, default=Path("out/lipsync"), help="where it goes")
    options = parser.parse_args(arguments)
    try:
        film = read(options.video)
        found, lag = _lag(film, options.mesh)
        weights = _weights(options.weights)
        scored = _syncnet(film, weights) if weights is not None else None
    except (ValueError, MaestraError) as error:
        print(error, file=sys.stderr)
        return 2
    report: dict[str, Any] = {"video": options.video.name, "seconds": film.count / 25}
    report |= found
    if scored is None:
        report["syncnet"] = "not measured: no weights"
    else:
        report |= {
            "lse_d": scored.lse_d,
            "lse_c": scored.lse_c,
            "offset_pictures": scored.offset,
            "windows": len(scored.confidence),
        }
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1)
    (out / f"{options.video.stem}.json").write_text(text + "\n", encoding="utf-8")
    _draw(out / f"{options.video.stem}.png", lag, scored)
    print(text)
    return 0


def _weights(folder: Path | None) -> Path | None:
    """SyncNet's file in ``folder``; without a folder that in the store, or ``None``.

    :raises ModelMissing: there is none in ``folder``, or that in the store has been changed.
    """
    if folder is None:
        if model_store.missing("syncnet"):
            return None
        folder = composition.stored("syncnet")
    found = next((path for name in _WEIGHTS if (path := folder / name).is_file()), None)
    if found is None:
        raise ModelMissing(f"{folder} has no {' and no '.join(_WEIGHTS)}")
    return found


def _lag(film: Film, mesh: Path | None) -> tuple[dict[str, Any], LipLag]:
    """The lip lag, as it is reported and whole."""
    if mesh is not None:
        box = mouth_box(mesh)
    else:
        box = mouth_in(face_box(film), next(film.pictures()))
    patches = np.array([mouth_of(_grey(picture), box) for picture in film.pictures()], np.float32)
    lag = lip_lag(motions(patches, film), film)
    return {
        "lip_lag": lag.seconds,
        "lip_lag_spans": [
            {
                "begin": span.begin,
                "end": span.end,
                "lag": span.lag,
                "likeness": span.likeness,
                "sure": span.is_sure,
            }
            for span in lag.spans
        ],
    }, lag


def _grey(picture: Any) -> Any:
    import cv2

    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def _syncnet(film: Film, weights: Path) -> Score:
    from .syncnet import SIDE, SyncNet

    crops = lip_crops(film, face_box(film), SIDE)
    return SyncNet.load(weights).score(crops, film.sound_at(RATE_HZ))


def _draw(path: Path, lag: LipLag, scored: Score | None) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, 1 if scored is None else 2, figsize=(9, 3.5), layout="constrained", squeeze=False
    )
    left = axes[0, 0]
    for span in lag.spans:
        line, label = "-" if span.is_sure else ":", f"{span.begin:.1f} to {span.end:.1f} s"
        left.plot(1000 * LAGS, span.correlation, line, label=label if len(lag.spans) < 9 else None)
    left.axvline(0, color="grey", linewidth=0.8)
    left.set(title="Mouth and loudness", xlabel="sound after picture, ms", ylabel="correlation")
    if lag.spans and len(lag.spans) < 9:
        left.legend()
    if scored is not None:
        right = axes[0, 1]
        shift = (len(scored.mean) - 1) // 2
        right.plot(range(shift, -shift - 1, -1), scored.mean)
        right.set(title="SyncNet", xlabel="sound before picture, pictures", ylabel="distance")
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
