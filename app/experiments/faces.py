"""How fast a face draws.

``python benchmarks/faces.py --model all``

Without ``--weights`` the networks hold numbers drawn at random: what they take to work does not
depend on what they have learnt. Every model is measured in a process of its own.

- *As in a lesson*: speech is pushed, pictures are drawn in batches that fit the pace, and each is
  brought to YUV 4:2:0 on the host. Its RTF is the time taken ÷ the duration of the speech.
- *First picture after silence*: from the push of speech, as long as a picture and the look-ahead,
  after idle pictures, to the first picture of it in YUV 4:2:0 on the host.
- *At once*: the same when so many pictures are always drawn at once.
- *Back from host memory*: what its weights take to be on the device again, when they had left it.
- *Stages*: one after another, without CUDA graphs and ``torch.compile``, which have no stages; by
  CUDA events on a GPU. So their sum may be more than what a picture takes.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs
import numpy as np
from attrs import define, field, frozen

from maestra.ports.audio import PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.errors import MaestraError
from maestra.ports.face import Face

from .. import composition
from ..colour import Colour
from ..config import Config, FaceConfig

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["MODELS", "Figures", "Spread", "Stages", "main", "measure", "table"]

MODELS = ("liveportrait", "musetalk", "sadtalker", "puppet")

_BATCH = {"liveportrait": "most_at_once", "musetalk": "batch", "sadtalker": "batch"}
_MODULE = "maestra.app.experiments.faces"
_INTERRUPTED = 130
_COLOUR = "colour"
"""The stage that is the publisher's: RGB to YUV 4:2:0."""
_RETURN = "return"
"""The stage in which weights are copied to the device that they had left."""

Say = Callable[[str], None]


# --- figures ------------------------------------------------------------------


@frozen(kw_only=True)
class Spread:
    """Milliseconds, of ``n`` samples."""

    p50: float
    p95: float
    n: int

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Spread | None:
        """``None`` of nothing."""
        if not milliseconds:
            return None
        middle, most = np.percentile(milliseconds, (50, 95))
        return cls(p50=float(middle), p95=float(most), n=len(milliseconds))

    def __str__(self) -> str:
        return f"p50 {self.p50:.2f}, p95 {self.p95:.2f} ms, n {self.n}"


@define(kw_only=True)
class Figures:
    """What was found so far of one model; ``None`` and empty is what was not measured.

    ``picture`` is wall time, ``processor`` what it takes of all cores together, which other work on
    the machine does not change much. ``at_once`` is pictures a second by the batch; ``stages`` are
    per picture, in ``staged_at_once`` at once. ``memory`` is in GB: of the GPU, what PyTorch held
    of it at most; else of the process.
    """

    model: str
    weights: str
    hardware: str
    torch: str
    precision: str
    batch: int
    how: str
    built: float | None = None
    warmed: float | None = None
    fps: float | None = None
    rtf: float | None = None
    picture: Spread | None = None
    processor: Spread | None = None
    first: Spread | None = None
    back: Spread | None = None
    at_once: dict[int, float] = field(factory=dict)
    stages: dict[str, Spread] = field(factory=dict)
    staged_at_once: int = 1
    memory: float | None = None
    memory_of: str = ""
    complete: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return attrs.asdict(self)


_UNMEASURED = "not measured"


def table(found: Figures) -> str:
    """What was found, as lines of Markdown."""

    def known(value: float | None, text: str) -> str:
        return _UNMEASURED if value is None else text.format(value)

    lines = [
        f"## {found.model}",
        "",
        f"{found.hardware}; PyTorch {found.torch}; {found.precision}; {found.how}; at most"
        f" {found.batch} at once; weights: {found.weights}"
        + ("." if found.complete else ". **Not complete: it was stopped.**"),
        "",
        "| figure | measured |",
        "| --- | --- |",
        f"| pictures a second, end to end | {known(found.fps, '{:.2f}')} |",
        f"| render_rtf at 25 fps | {known(found.rtf, '{:.3f}')} |",
        f"| a picture, end to end | {found.picture or _UNMEASURED} |",
        f"| of the processor, on all cores together | {found.processor or _UNMEASURED} |",
        f"| first picture after silence | {found.first or _UNMEASURED} |",
    ]
    if found.back is not None:
        lines.append(f"| back from host memory | {found.back} |")
    lines += [
        f"| pictures a second, always {count} at once | {fps:.2f} |"
        for count, fps in found.at_once.items()
    ]
    lines += [
        f"| memory, at most, {found.memory_of or 'GPU'} | {known(found.memory, '{:.2f} GB')} |",
        f"| to build | {known(found.built, '{:.1f} s')} |",
        f"| to warm up | {known(found.warmed, '{:.1f} s')} |",
    ]
    if found.stages:
        lines += ["", f"| stage, {found.staged_at_once} at once | ms a picture |", "| --- | --- |"]
        lines += [f"| {name} | {spread} |" for name, spread in found.stages.items()]
    return "\n".join(lines) + "\n"


# --- the stop-watch -----------------------------------------------------------


class Stages:
    """A stop-watch for named stages (what ``composition.face_stages`` takes).

    :param cuda: by CUDA events, each stage to its end before the next one begins.
    """

    def __init__(self, *, cuda: bool = False) -> None:
        self._cuda = cuda
        self._taken: dict[str, float] = {}

    def __call__(self, name: str) -> AbstractContextManager[None]:
        return self._by_events(name) if self._cuda else self._by_clock(name)

    def collect(self) -> dict[str, float]:
        """The milliseconds of each stage since it was last asked, in the order they began in."""
        taken, self._taken = self._taken, {}
        return taken

    def _add(self, name: str, milliseconds: float) -> None:
        self._taken[name] = self._taken.get(name, 0.0) + milliseconds

    @contextmanager
    def _by_clock(self, name: str) -> Iterator[None]:
        self._taken.setdefault(name, 0.0)
        begun = time.perf_counter()
        yield
        self._add(name, 1000 * (time.perf_counter() - begun))

    @contextmanager
    def _by_events(self, name: str) -> Iterator[None]:
        import torch

        self._taken.setdefault(name, 0.0)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        yield
        end.record()
        torch.cuda.synchronize()
        self._add(name, begin.elapsed_time(end))


@frozen(kw_only=True)
class _Draw:
    """``count`` pictures that were drawn at once took ``seconds`` together, and ``processor``
    seconds of this process on all cores."""

    count: int
    seconds: float
    processor: float
    stages: Mapping[str, float]

    @property
    def milliseconds(self) -> float:
        """Of one picture."""
        return 1000 * self.seconds / self.count


@runtime_checkable
class _Leaving(Protocol):
    """A face that can leave its device, and is back there with the next speech."""

    def unload(self) -> None: ...


@runtime_checkable
class _Batched(Protocol):
    """A face that can be kept from choosing how many pictures it draws at once."""

    def hold(self, count: int) -> None: ...


class _Show:
    """A face that is watched while it draws.

    :param stages: what sees its stages; ``None`` looks from the outside only.
    """

    def __init__(self, face: Face, stages: Stages | None = None) -> None:
        self.face = face
        self._stages = stages
        self._frames = face.frames()
        self._colour = Colour()
        self._next = 0

    def draw(self, count: int) -> Iterator[_Draw]:
        """``count`` pictures, and those that are drawn together with the last of them."""
        with nullcontext() if self._stages is None else composition.face_stages(self._stages):
            while count > 0:
                draw = self._draw_some()
                count -= draw.count
                yield draw

    def speak(self, count: int) -> Iterator[_Draw]:
        """``count`` pictures of speech that is all known."""
        self.face.clear(self._next)
        self.face.push(sound(count * SLICE_SAMPLES / PLAYOUT_RATE_HZ), last=True)
        return self.draw(count)

    def back(self) -> float | None:
        """Milliseconds that its weights take to be on the device again; ``None`` if they stay."""
        if not isinstance(self.face, _Leaving):
            return None
        self.face.unload()
        seen = Stages()
        with composition.face_stages(seen):
            self.first()
        return seen.collect().get(_RETURN)

    def first(self) -> float:
        """Milliseconds from a push to the first picture of it; then it is silent again."""
        length = SLICE_SAMPLES / PLAYOUT_RATE_HZ + self.face.look_ahead
        speech = sound(length)
        begun = time.perf_counter()
        self.face.push(speech)
        self._take()
        taken = time.perf_counter() - begun
        self.face.clear(self._next)
        return 1000 * taken

    def _draw_some(self) -> _Draw:
        if self._stages is not None:
            self._stages.collect()
        begun, worked = time.perf_counter(), time.process_time()
        count = 1 + self._take()
        for _ in range(count - 1):
            self._take()
        return _Draw(
            count=count,
            seconds=time.perf_counter() - begun,
            processor=time.process_time() - worked,
            stages={} if self._stages is None else self._stages.collect(),
        )

    def _take(self) -> int:
        """The next picture to YUV 4:2:0, as the publisher does; how many are ready behind it."""
        frame = next(self._frames)
        with nullcontext() if self._stages is None else self._stages(_COLOUR):
            self._colour.i420(frame.picture)
        self._next = frame.number + 1
        return frame.ready


def sound(seconds: float) -> Samples:
    """Something that every face opens its mouth to, without a pause."""
    time = np.arange(round(seconds * PLAYOUT_RATE_HZ)) / PLAYOUT_RATE_HZ
    pitch = np.sin(2 * np.pi * (150 + 40 * np.sin(5 * time)) * time)
    voice = pitch + 0.5 * np.sin(2 * np.pi * 1900 * time)
    made: Samples = (0.3 * voice * (0.6 + 0.4 * np.sin(9 * time))).astype(np.float32)
    return made


# --- measuring ----------------------------------------------------------------


@frozen(kw_only=True)
class Plan:
    """``pictures`` of speech per measurement, ``starts`` from silence, and which batches.

    ``cuda``: how it is drawn and how it is seen are not the same, so it is drawn twice.
    """

    pictures: int
    starts: int
    batches: Sequence[int] = (1,)
    cuda: bool = False


_IDLE = 5
"""Pictures of silence between two starts, where a picture is drawn in less than a second."""


def measure(build: Callable[[bool], Face], plan: Plan, found: Figures, say: Say) -> None:
    """Fill ``found``, bit by bit: whoever stops it has what there was.

    :param build: makes the face; with ``True``, so that its stages can be seen.
    :raises MaestraError: the face cannot be built, or failed.
    """
    say("it is built")
    begun = time.perf_counter()
    stages = None if plan.cuda else Stages()
    show = _Show(build(not plan.cuda), stages)
    found.built = time.perf_counter() - begun

    say("it warms up")
    begun = time.perf_counter()
    _done(show.draw(1))
    if plan.cuda:
        _done(show.draw(_IDLE * len(plan.batches)))  # graphs are recorded while nobody speaks
        _each_batch(show, plan, lambda count: _done(show.speak(2 * count)))
    found.warmed = time.perf_counter() - begun
    found.memory, found.memory_of = _memory(plan.cuda)

    said: list[_Draw] = []
    done = 0
    for draw in show.speak(plan.pictures):
        said.append(draw)
        done += draw.count
        say(f"speech: picture {done} of {plan.pictures}")
        _as_in_a_lesson(said, found)
    if stages is not None:
        _staged(said, found)
    idle = _IDLE if said[-1].seconds < 1 else 1
    starts: list[float] = []
    for number in range(plan.starts):
        say(f"silence: start {number + 1} of {plan.starts}")
        _done(show.draw(idle))
        starts.append(show.first())
        found.first = Spread.of(starts)
    returns: list[float] = []
    for number in range(plan.starts):
        say(f"back from host memory: {number + 1} of {plan.starts}")
        if (took := show.back()) is None:
            break
        returns.append(took)
        found.back = Spread.of(returns)
    found.memory, found.memory_of = _memory(plan.cuda)

    def at_once(count: int) -> None:
        say(f"{count} at once")
        draws = [*show.speak(max(plan.pictures, 4 * count))]
        found.at_once[count] = _fps(draws[1:] or draws)

    if plan.cuda or len(plan.batches) > 1:
        _each_batch(show, plan, at_once)
        found.memory, found.memory_of = _memory(plan.cuda)
    if plan.cuda:
        say("its stages")
        del show
        stages = Stages(cuda=True)
        _see_stages(_Show(build(True), stages), plan, found)
    found.complete = True


def _done(draws: Iterator[_Draw]) -> None:
    """Draw, and look away."""
    for _ in draws:
        pass


def _each_batch(show: _Show, plan: Plan, act: Callable[[int], object]) -> None:
    """``act`` with each size of a batch, if the face can be held to it."""
    if isinstance(show.face, _Batched):
        for count in plan.batches:
            show.face.hold(count)
            act(count)
        show.face.hold(0)


def _see_stages(show: _Show, plan: Plan, found: Figures) -> None:
    most = max(plan.batches)
    if isinstance(show.face, _Batched):
        show.face.hold(most)
    _done(show.speak(3 * most))
    _staged([*show.speak(max(plan.pictures, 4 * most))], found)


def _as_in_a_lesson(draws: Sequence[_Draw], found: Figures) -> None:
    if draws:
        found.fps = _fps(draws)
        found.rtf = PLAYOUT_RATE_HZ / SLICE_SAMPLES / found.fps
        found.picture = Spread.of([draw.milliseconds for draw in draws])
        found.processor = Spread.of([1000 * draw.processor / draw.count for draw in draws])


def _fps(draws: Sequence[_Draw]) -> float:
    return sum(draw.count for draw in draws) / sum(draw.seconds for draw in draws)


def _staged(draws: Sequence[_Draw], found: Figures) -> None:
    names = dict.fromkeys(name for draw in draws for name in draw.stages)
    for name in names:
        taken = [draw.stages.get(name, 0.0) / draw.count for draw in draws]
        if (spread := Spread.of(taken)) is not None:
            found.stages[name] = spread
    found.staged_at_once = max(draw.count for draw in draws)


def _memory(cuda: bool) -> tuple[float, str]:
    if cuda:
        import torch

        return torch.cuda.max_memory_reserved() / 1e9, "GPU"
    # Kilobytes; macOS counts bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, "process"


# --- what is measured ---------------------------------------------------------


def _configured(model: str, options: argparse.Namespace, *, staged: bool) -> Config:
    """The configuration that builds the model as it is asked for."""
    told: dict[str, object] = {}
    if model in _BATCH:
        told = {"device": options.device, "precision": options.precision}
        if options.batch:
            told[_BATCH[model]] = options.batch
        told["weights"] = "" if options.weights is None else str(options.weights)
        told["compile"] = options.compile and not staged
        if staged:
            told["graphs"] = False
    return Config(face=FaceConfig(backend=(model,), options={model: told} if told else {}))


def _builder(
    model: str, options: argparse.Namespace, cache: Path
) -> tuple[Callable[[bool], Face], Config]:
    def build(staged: bool) -> Face:
        config = _configured(model, options, staged=staged)
        who = composition.persona(config.persona)
        if model not in _BATCH or options.weights is not None:
            return composition.faces(config, who)[0][1]()
        return composition.unlearnt_face(model, config, who, cache)

    return build, _configured(model, options, staged=False)


def _run_one(model: str, options: argparse.Namespace) -> Figures:
    """Measure ``model`` in this process."""
    import torch

    from .bench import machine

    on_gpu = model in _BATCH and (
        options.device.startswith("cuda")
        or (options.device == "auto" and torch.cuda.is_available())
    )
    if not options.batch and not on_gpu:
        options.batch = 1
    with tempfile.TemporaryDirectory() as cache:
        build, config = _builder(model, options, Path(cache))
        settings = composition.settings(config, "face", model)
        most = getattr(settings, _BATCH.get(model, ""), 1)
        how = [name for name in ("compile", "graphs") if getattr(settings, name, False)]
        precision = options.precision
        if precision == "auto":
            precision = "float16" if on_gpu else "float32"
        gpu = ""
        if on_gpu:
            about = torch.cuda.get_device_properties(options.device.replace("auto", "cuda"))
            gpu = f"{about.name}, {about.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}, on "
        found = Figures(
            model=model,
            weights="numbers at random" if options.weights is None else "published",
            hardware=f"{gpu}{machine.look()}, {torch.get_num_threads()} threads",
            torch=torch.__version__,
            precision=precision if model in _BATCH else "no networks",
            batch=most,
            how=" and ".join(how) if on_gpu and how else "eager",
        )
        doubling = [2**i for i in range(most.bit_length()) if 2**i < most]
        plan = Plan(
            pictures=max(1, round(options.seconds * PLAYOUT_RATE_HZ / SLICE_SAMPLES)),
            starts=options.starts,
            batches=(*doubling, most),
            cuda=on_gpu,
        )
        try:
            measure(build, plan, found, lambda text: _say(f"{model}: {text}"))
        except KeyboardInterrupt:
            _say(f"{model}: stopped")
        finally:
            _say("")
    return found


def _say(text: str) -> None:
    """What is done now, on one line of a terminal, which the next one takes."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
    elif text:
        sys.stderr.write(text + "\n")
    sys.stderr.flush()


# --- the command --------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table per model. 130 if it was stopped, 1 if a model failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    if options.model == "all":
        return _run_all(options, given)
    try:
        found = _run_one(options.model, options)
    except MaestraError as error:
        print(f"{options.model}: {error}", file=sys.stderr)
        return 1
    print(table(found), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps([found.to_dict()], indent=1) + "\n", encoding="utf-8")
    return 0 if found.complete else _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks/faces.py",
        description="How fast a face draws: by stage, end to end, and after silence.",
    )
    parser.add_argument("--model", choices=(*MODELS, "all"), default="all")
    parser.add_argument(
        "--weights",
        type=Path,
        help="the folder with the published weights; absent, numbers drawn at random",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--precision", default="auto", choices=("auto", "float32", "float16", "bfloat16")
    )
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    parser.add_argument("--batch", type=int, default=0, help="pictures drawn at once, at most")
    parser.add_argument("--seconds", type=float, default=8.0, help="of speech, per measurement")
    parser.add_argument("--starts", type=int, default=20, help="from silence to speech")
    parser.add_argument("--json", type=Path, help="where to write the figures to, too")
    return parser


def _run_all(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Each model in a process of its own, so that one's memory is not the other's."""
    worst, found = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for model in MODELS:
            path = Path(folder) / f"{model}.json"
            own = [*given, "--model", model, "--json", str(path)]
            if options.weights is not None:
                own += ["--weights", str(options.weights / model)]
            child = subprocess.Popen([sys.executable, "-m", _MODULE, *own])
            worst = max(worst, _waited_for(child))
            if path.is_file():
                found += json.loads(path.read_text(encoding="utf-8"))
            if worst == _INTERRUPTED:
                break
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return worst


def _waited_for(child: subprocess.Popen[bytes]) -> int:
    """Its exit status. Who presses Ctrl-C stops the child, which then says what it found."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return child.wait()
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(main())
