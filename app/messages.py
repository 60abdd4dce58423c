"""What the session's processes say to each other. One direction per pipe, attrs objects, in order.

The processes form a star around the session, but for slices, which go straight from the speaker to
the playout::

    ingest ─► session ─► hearing, music ─► session ─► speaker ═slices═► playout ─► session

and for what goes straight from and to the browsers' worker, once there is one::

    playout ═what is shown═► browsers ═microphone═► ingest

Media time in ``Heard`` and ``Progress`` is flicks; ``slot`` numbers output slices (40 ms each)
since the session began; ``epoch`` numbers replies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import frozen

from maestra.core.hearing import FloorLabel, HearingEvent
from maestra.core.media_time import MediaTime
from maestra.core.performance.notes import MusicEvent

if TYPE_CHECKING:
    from maestra.ports.audio import AudioChunk, Samples

__all__ = [
    "APOLOGY",
    "ONE_MOMENT",
    "Advance",
    "Advanced",
    "Answered",
    "Begin",
    "BrowsersCame",
    "Cancel",
    "Configure",
    "Drawn",
    "EndOfReply",
    "EndOfStream",
    "FaceDegraded",
    "Failed",
    "Feed",
    "Flush",
    "HangUp",
    "Heard",
    "Hello",
    "InputLost",
    "Microphone",
    "MusicHeard",
    "Offer",
    "Pause",
    "Pictured",
    "PlayedOut",
    "Primed",
    "Progress",
    "ReplyLost",
    "Restored",
    "Resume",
    "Rewind",
    "Say",
    "Shown",
    "Silent",
    "Slice",
    "SliceStatistics",
    "SlotTaken",
    "SpeakerAnew",
    "Spoken",
    "Start",
    "Started",
    "Stop",
    "Switched",
    "Watch",
]

APOLOGY = "I am sorry, I lost my train of thought. Please ask me again."
"""Spoken from memory when nothing else can be: the speaker prepares it when the session starts."""

ONE_MOMENT = "One moment, please."
"""Likewise, when the only voice lets them wait. It is no part of the answer."""

# --- any worker ---------------------------------------------------------------


@frozen(kw_only=True)
class Hello:
    """The worker is ready. ``detail`` says which backends it loaded."""

    worker: str
    detail: str = ""


@frozen(kw_only=True)
class Failed:
    """Something failed and was survived, or (``fatal``) not.

    ``worker`` is the port it failed at, ``adapter`` the backend, ``kind`` the error's class name.
    """

    worker: str
    kind: str
    text: str
    adapter: str = ""
    fatal: bool = False


@frozen(kw_only=True)
class Restored:
    """The input (``worker`` ``ingest``) or the output is back after ``after`` s."""

    worker: Literal["ingest", "publish"]
    after: float


@frozen(kw_only=True)
class Switched:
    """The worker replaced a failed backend by the next one."""

    worker: str
    before: str
    after: str


@frozen(kw_only=True)
class Stop:
    """Drain, close, leave."""


@frozen(kw_only=True)
class Begin:
    """Everybody is ready: media time 0 is ``anchor`` (s) on ``time.monotonic``."""

    anchor: float


@frozen(kw_only=True)
class Configure:
    """New values for settings that may change while running, by dotted name."""

    values: dict[str, object]


# --- ingest → session ---------------------------------------------------------


@frozen(kw_only=True, eq=False)
class Feed:
    """Sound that came in, 44.1 kHz (also session → hearing and session → music).

    ``floor`` is what the session knows the floor to be, for the music analysis.
    """

    chunk: AudioChunk
    floor: FloorLabel = FloorLabel.SILENCE
    bridged: bool = False


@frozen(kw_only=True)
class InputLost:
    """The input broke or is late; silence bridges it from media time ``at``; ``text`` says why."""

    at: MediaTime
    text: str


@frozen(kw_only=True)
class EndOfStream:
    """The input is over (also session → hearing, music: flush)."""


# --- hearing, music → session -------------------------------------------------


@frozen(kw_only=True)
class Heard:
    event: HearingEvent


@frozen(kw_only=True)
class MusicHeard:
    event: MusicEvent


@frozen(kw_only=True)
class Progress:
    """Everything up to ``up_to`` has been listened to and reported."""

    worker: str
    up_to: MediaTime


# --- session → speaker --------------------------------------------------------


@frozen(kw_only=True)
class Say:
    """Speak ``clause``, the next of reply ``epoch``; it begins at character ``position`` of it.

    ``sound`` is there if the brain has spoken it already: mono float32 at ``sample_rate_hz``.
    """

    epoch: int
    clause: str
    position: int
    sound: Samples | None = None
    sample_rate_hz: int = 0


@frozen(kw_only=True)
class EndOfReply:
    """Reply ``epoch`` has no more clauses."""

    epoch: int


@frozen(kw_only=True)
class Start:
    """Play reply ``epoch``."""

    epoch: int


@frozen(kw_only=True)
class Cancel:
    """Forget reply ``epoch`` and all before it."""

    epoch: int


# --- speaker → session --------------------------------------------------------


@frozen(kw_only=True)
class Primed:
    """The first slices of reply ``epoch`` are ready to be played; how long its voice took (s)."""

    epoch: int
    voice_duration: float


@frozen(kw_only=True)
class Pictured:
    """The first picture of reply ``epoch`` is drawn, so long after its playout began (s)."""

    epoch: int
    face_duration: float


@frozen(kw_only=True)
class Drawn:
    """A face took so long (s) to draw pictures of speech that ``lasted`` a second or more. Its
    first picture, for which it warms up, is left out."""

    took: float
    lasted: float


@frozen(kw_only=True)
class ReplyLost:
    """No voice could speak reply ``epoch`` (or the rest of it)."""

    epoch: int
    text: str


@frozen(kw_only=True)
class Spoken:
    """``voice`` spoke a clause of reply ``epoch``: its first sound came after ``ttfb`` seconds, and
    all of it, ``duration`` seconds of sound, took ``took`` seconds to make."""

    epoch: int
    voice: str
    ttfb: float
    took: float
    duration: float


@frozen(kw_only=True)
class FaceDegraded:
    """``face`` is shown at another ``level`` from now on, because of ``cause``: the level is one of
    ``full``, ``fewer``, ``held`` and ``still``, or what was done: ``smaller``, ``again``, ``anew``.
    """

    face: str
    level: str
    cause: str


# --- speaker → playout --------------------------------------------------------


@frozen(kw_only=True, eq=False)
class Slice:
    """One A/V slice for output slot ``slot``: a picture and exactly the 40 ms of its sound.

    ``epoch`` 0 is idle: ``sound`` is ``None``, which is silence. ``picture`` ``None`` holds the
    last one, which is as it should be (``repeats``) where the face has fewer pictures a second than
    there are slots, and has drawn this slot's. ``heard_to`` is how many characters of the reply are
    spoken when this slice ends. Pictures are raw RGB bytes, sound raw int16 at 48 kHz.
    """

    slot: int
    epoch: int
    sound: bytes | None
    picture: bytes | None
    heard_to: int = 0
    last: bool = False
    repeats: bool = False


# --- playout → speaker --------------------------------------------------------


@frozen(kw_only=True)
class SlotTaken:
    """Slot ``slot`` has been written: there is room for one more."""

    slot: int


@frozen(kw_only=True)
class Rewind:
    """The queue was flushed: the next slice must be for ``slot``."""

    slot: int


# --- session → playout --------------------------------------------------------


@frozen(kw_only=True)
class Pause:
    """Silence from the next slot on; keep the queue of ``epoch``."""

    epoch: int


@frozen(kw_only=True)
class Resume:
    epoch: int


@frozen(kw_only=True)
class Flush:
    """Silence from the next slot on; drop what carries ``epoch`` or less, now and later."""

    epoch: int


@frozen(kw_only=True)
class SpeakerAnew:
    """The speaker has died; the connection to the one in its place follows. What is left of reply
    ``epoch`` will not come; 0: of the one that is being played, if there is any."""

    epoch: int


@frozen(kw_only=True)
class Advance:
    """On a virtual clock: write slots up to, not including, ``slot``, then say ``Advanced``.

    While ``epoch`` is not 0 the slices of that reply are waited for, until its last.
    """

    slot: int
    epoch: int = 0


# --- playout → session --------------------------------------------------------


@frozen(kw_only=True)
class Advanced:
    """On a virtual clock: every slot before ``slot`` has been written."""

    slot: int


@frozen(kw_only=True)
class Started:
    """The first slice with sound of reply ``epoch`` was written at slot ``slot``."""

    epoch: int
    slot: int


@frozen(kw_only=True)
class Silent:
    """Paused or flushed: ``slot`` is the first silent one, ``heard_to`` characters were heard."""

    epoch: int
    slot: int
    heard_to: int


@frozen(kw_only=True)
class PlayedOut:
    """Reply ``epoch`` was played to its end; ``slot`` is the first after it, and ``heard_to``
    characters were heard."""

    epoch: int
    slot: int
    heard_to: int


@frozen(kw_only=True)
class SliceStatistics:
    """Once a second of output: frames written, slots that want a fresh picture, late slots.

    ``av_offset`` is by how many seconds, at most, sound of a reply was ahead of the picture under
    which it was put out; ``None`` if nothing was said, or there is no picture.
    """

    slot: int
    fps: float
    held: int
    underruns: int
    late: int
    queued: int
    av_offset: float | None


# --- browsers -------------------------------------------------------------------


@frozen(kw_only=True)
class Microphone:
    """To the ingest, first of all: an end of a pipe follows, from which a browser's sound comes."""


@frozen(kw_only=True)
class BrowsersCame:
    """To the playout: an end of a pipe follows, to those who want to see what is played."""


@frozen(kw_only=True)
class Offer:
    """To the browsers' worker: a browser wants to be heard (``whip``) or to watch (``whep``)."""

    number: int
    way: Literal["whip", "whep"]
    sdp: str


@frozen(kw_only=True)
class HangUp:
    """To the browsers' worker: end the connection ``peer``."""

    number: int
    peer: str


@frozen(kw_only=True)
class Answered:
    """From the browsers' worker, to the offer or hang-up of that number: the name of the connection
    and the answer, or why not (``PeerRefused.reason``) and its sentence."""

    number: int
    peer: str = ""
    sdp: str = ""
    refused: str = ""
    text: str = ""


@frozen(kw_only=True)
class Watch:
    """From the browsers' worker to the playout: whether to be shown what is played."""

    on: bool


@frozen(kw_only=True, eq=False)
class Shown:
    """What is played in slot ``slot``; ``picture`` is ``None`` while it stays as it was sent last,
    ``sound`` where it is silent. Raw, as in ``Slice``."""

    slot: int
    sound: bytes | None
    picture: bytes | None
