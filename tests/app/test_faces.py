"""The benchmark of the faces measures every stage, and says what it found when it is stopped."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np
import pytest
from fakes.libraries import need

pytest.importorskip("psutil")
torch = pytest.importorskip("torch")
pytest.importorskip("av")

from maestra.adapters.face.streaming import Moment, StreamingFace  # noqa: E402
from maestra.adapters.face.tracing import stage, traced  # noqa: E402
from maestra.adapters.weights import fill_at_random  # noqa: E402
from maestra.app import composition  # noqa: E402
from maestra.app.config import Config  # noqa: E402
from maestra.app.experiments import faces  # noqa: E402
from maestra.core.persona import Persona  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

    from maestra.ports.audio import Picture
    from maestra.ports.face import Face

PLAN = faces.Plan(pictures=4, starts=2, batches=(1, 2))


def figures(model: str) -> faces.Figures:
    return faces.Figures(
        model=model,
        weights="the test's",
        hardware="a machine",
        torch="1",
        precision="float32",
        batch=2,
        how="eager",
    )


def _liveportrait(folder: Path) -> Face:
    from fakes.tiny_liveportrait import tiny_liveportrait

    return tiny_liveportrait(size=512, most_at_once=2)


def _musetalk(folder: Path) -> Face:
    need("diffusers", "transformers")
    pytest.importorskip("safetensors")
    from fakes.tiny_musetalk import tiny_musetalk

    return tiny_musetalk(folder / "musetalk")


def _sadtalker(folder: Path) -> Face:
    pytest.importorskip("safetensors")
    from fakes.sadtalker import tiny_sadtalker

    return tiny_sadtalker(folder / "sadtalker", batch=2)


@pytest.mark.parametrize(
    ("build", "stages"),
    [
        (_liveportrait, "motion stitch warp generate paste colour copy"),
        pytest.param(_musetalk, "encode unet vae blend colour paste", marks=pytest.mark.slow),
        pytest.param(
            _sadtalker,
            "coefficients mapping keypoints generator colour copy paste",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_every_stage_of_a_face_is_measured(
    build: Callable[[Path], Face], stages: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    found = figures("a face")
    said: list[str] = []
    faces.measure(lambda staged: build(folder), PLAN, found, said.append)
    assert found.complete
    assert [*found.stages] == stages.split()
    assert all(spread.p50 > 0 for spread in found.stages.values())
    assert found.picture is not None and found.first is not None
    # The stages are what takes the time, and no more than it.
    whole = sum(spread.p50 for spread in found.stages.values())
    assert 0.1 * found.picture.p50 < whole < 4 * found.picture.p95
    assert found.rtf == pytest.approx(25 / found.fps if found.fps else None)
    assert [*found.at_once] == [1, 2]
    assert found.first.n == 2
    assert found.back is not None and found.back.n == 2
    assert "speech: picture 4 of 4" in said
    assert "not measured" not in faces.table(found)


class Drawing(StreamingFace):
    """Has one stage."""

    width = height = 64

    def __init__(self) -> None:
        super().__init__(look_back=0.0, look_ahead=0.0, most_at_once=2)

    def draw(self, moments: Sequence[Moment]) -> Sequence[Picture]:
        with stage("all of it"):
            return [np.zeros((64, 64, 3), np.uint8) for _ in moments]


class Stopped(Drawing):
    """Somebody presses Ctrl-C before its seventh picture."""

    def draw(self, moments: Sequence[Moment]) -> Sequence[Picture]:
        if moments[0].number == 6:
            raise KeyboardInterrupt
        return super().draw(moments)


def test_who_stops_it_has_what_there_was() -> None:
    found = figures("a face")
    with pytest.raises(KeyboardInterrupt):
        faces.measure(lambda staged: Stopped(), faces.Plan(pictures=9, starts=1), found, print)
    assert not found.complete
    assert found.picture is not None and found.picture.n == 5
    told = faces.table(found)
    assert "it was stopped" in told
    assert "| first picture after silence | not measured |" in told


def test_on_a_gpu_stages_are_seen_apart_from_what_is_as_in_a_lesson(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Event:
        def __init__(self, *, enable_timing: bool) -> None: ...

        def record(self) -> None: ...

        def elapsed_time(self, end: Event) -> float:
            return 7.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 3e9)
    built: list[bool] = []

    def build(staged: bool) -> Face:
        built.append(staged)
        return Drawing()

    found = figures("a face")
    faces.measure(build, attrs.evolve(PLAN, cuda=True), found, print)
    assert built == [False, True]
    assert [*found.at_once] == [1, 2]
    assert found.stages["all of it"].p50 == pytest.approx(3.5)  # of each of two
    assert (found.staged_at_once, found.memory, found.memory_of) == (2, 3.0, "GPU")


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["liveportrait", "musetalk", "sadtalker"])
def test_every_model_is_measured_on_a_gpu(model: str, tmp_path: Path) -> None:
    path = tmp_path / "faces.json"
    told = ["--device", "cuda", "--seconds", "0.8", "--starts", "2", "--json", str(path)]
    assert faces.main(["--model", model, *told]) == 0
    (found,) = json.loads(path.read_text(encoding="utf-8"))
    assert found["complete"] and found["stages"] and found["memory_of"] == "GPU"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "faces.json"
    told = ["--model", "puppet", "--seconds", "0.2", "--starts", "1", "--json", str(path)]
    assert faces.main(told) == 0
    (found,) = json.loads(path.read_text(encoding="utf-8"))
    assert found["model"] == "puppet"
    assert found["picture"]["n"] == 5
    out, err = capsys.readouterr()
    assert re.search(r"\| render_rtf at 25 fps \| \d", out)
    assert "puppet: speech: picture 5 of 5" in err


def test_weights_that_are_not_there_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["--model", "liveportrait", "--device", "cpu", "--weights", str(tmp_path)]
    assert faces.main(told) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[-1].startswith("liveportrait: LivePortrait's weights are to be in")


@pytest.mark.parametrize("model", ["liveportrait", "musetalk", "sadtalker"])
def test_every_model_is_built_without_weights_too(
    model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built: list[tuple[str, Config]] = []

    def unlearnt(name: str, config: Config, who: Persona, cache: Path) -> Face:
        built.append((name, config))
        return Drawing()

    monkeypatch.setattr(composition, "unlearnt_face", unlearnt)
    told = ["--model", model, "--device", "cpu", "--seconds", "0.1", "--starts", "1"]
    assert faces.main([*told, "--json", str(tmp_path / "faces.json")]) == 0
    ((name, config),) = built
    assert name == model
    assert composition.settings(config, "face", model).weights == ""


def test_nobody_looks_and_nothing_is_seen() -> None:
    seen = faces.Stages()
    with traced(seen), stage("once"):
        pass
    with stage("never"):
        pass
    assert [*seen.collect()] == ["once"]
    assert seen.collect() == {}


def test_what_is_compiled_may_have_stages() -> None:
    def doubled(x: Tensor) -> Tensor:
        with stage("double"):
            return 2 * x

    compiled = torch.compile(doubled, backend="eager", fullgraph=True)
    assert compiled(torch.ones(2)).tolist() == [2, 2]


def test_numbers_at_random_neither_vanish_nor_explode() -> None:
    with torch.device("meta"):
        deep = torch.nn.Sequential(
            *(
                layer
                for _ in range(9)
                for layer in (torch.nn.Conv2d(16, 16, 3, padding=1), torch.nn.GroupNorm(4, 16))
            )
        )
    fill_at_random(deep)
    assert not deep.training
    out = deep(torch.randn(1, 16, 8, 8))
    assert 0.1 < out.std().item() < 10


def test_a_face_can_be_held_to_a_batch() -> None:
    class Counting(Drawing):
        drawn: list[int]

        def draw(self, moments: Sequence[Moment]) -> Sequence[Picture]:
            self.drawn.append(len(moments))
            return super().draw(moments)

    face = Counting()
    face.drawn = []
    face.hold(4)
    face.push(faces.sound(0.4), last=True)
    frames: Iterator[object] = face.frames()
    for _ in range(11):
        next(frames)
    assert face.drawn == [4, 4, 2, 1]
