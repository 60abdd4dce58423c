"""Made performances: known pieces, played by a made player with one fault or none.

They are made at the level of notes, as the music analysis would report them: with a player's
jitter, and with a detector's errors (late and jittery onsets, notes missed and invented, cents
off). What is wrong with each, and where, is known, so they measure how well faults are found.

Everything is drawn from the seed: the same seed makes the same performance.
"""

from __future__ import annotations

import enum
import math
import random
from collections.abc import Iterator, Mapping

from attrs import evolve, field, frozen

from maestra.core.performance.notes import Beat, Level, MusicEvent, Onset, PerformedNote

__all__ = [
    "PIECES",
    "STUDIES",
    "Detector",
    "Fault",
    "MadePerformance",
    "Piece",
    "Player",
    "make_performance",
    "many",
]


class Fault(enum.StrEnum):
    """What the made player does wrong, or (``CLEAN``, ``RITARDANDO``) well."""

    CLEAN = "clean"
    RITARDANDO = "ritardando"
    RUSH = "rush"
    DRAG = "drag"
    UNEVEN = "uneven"
    PAUSE = "pause"
    MISSED = "missed"
    WRONG_NOTES = "wrong_notes"
    SHARP = "sharp"
    FLAT = "flat"
    ONE_NOTE_OUT = "one_note_out"
    WOBBLE = "wobble"

    @property
    def needs_intonation(self) -> bool:
        return self in (Fault.SHARP, Fault.FLAT, Fault.ONE_NOTE_OUT)


@frozen(kw_only=True)
class Piece:
    """A melody: ``notes`` are (value in beats, MIDI number or ``None`` for a rest)."""

    name: str
    beats_per_bar: float
    notes: tuple[tuple[float, int | None], ...]

    @property
    def has_pairs(self) -> bool:
        """Enough pairs of half beats that unevenness can be heard."""
        return len(_pairs(self)) >= 4

    @property
    def length(self) -> int:
        return sum(midi is not None for _, midi in self.notes)


@frozen(kw_only=True)
class Player:
    """How the made player plays: jitter (s), share of a note that sounds, spread of tuning."""

    jitter: float = 0.010
    articulation: float = 0.93
    spread_cents: float = 4.0
    has_intonation: bool = True
    rings: bool = False
    """Notes die away instead of being held."""


@frozen(kw_only=True)
class Detector:
    """How the made detector errs. ``lateness`` is the same for every note of a performance."""

    jitter: float = 0.010
    lateness: float = 0.015
    missing: float = 0.03
    extra: float = 0.03
    spread_cents: float = 4.0
    beats: bool = True


@frozen(kw_only=True)
class MadePerformance:
    """``events`` in order of the time they would be reported; ``at`` the fault's places (s)."""

    piece: str
    fault: Fault
    tempo_bpm: float
    events: tuple[MusicEvent, ...]
    duration: float
    at: tuple[float, ...] = ()
    details: Mapping[str, float] = field(factory=dict)

    def later(self, by: float) -> MadePerformance:
        """The same, ``by`` seconds later."""

        def moved(event: MusicEvent) -> MusicEvent:
            if isinstance(event, PerformedNote):
                return evolve(event, onset=event.onset + by)
            return evolve(event, at=event.at + by)

        return evolve(
            self,
            events=tuple(moved(event) for event in self.events),
            at=tuple(at + by for at in self.at),
        )


_STEPS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}


def _piece(name: str, beats_per_bar: float, text: str, transpose: int = 0) -> Piece:
    """Words like ``c4``, ``f#4:0.5``, ``r:2``: pitch and octave, and the value unless it is 1."""
    notes: list[tuple[float, int | None]] = []
    for word in text.split():
        pitch, _, value = word.partition(":")
        midi: int | None = None
        if pitch != "r":
            step = _STEPS[pitch[0]] + pitch.count("#") - pitch[1:].count("b")
            midi = 12 * (int(pitch[-1]) + 1) + step + transpose
        notes.append((float(value) if value else 1.0, midi))
    return Piece(name=name, beats_per_bar=beats_per_bar, notes=tuple(notes))


_TWINKLE_A = "c4 c4 g4 g4 a4 a4 g4:2 f4 f4 e4 e4 d4 d4 c4:2"
_TWINKLE_B = "g4 g4 f4 f4 e4 e4 d4:2"
_ODE = "e4 e4 f4 g4 g4 f4 e4 d4 c4 c4 d4 e4"
_MINUET = "d5 g4:0.5 a4:0.5 b4:0.5 c5:0.5 d5 g4 g4 e5 c5:0.5 d5:0.5 e5:0.5 f#5:0.5 g5 g4 g4"

PIECES: tuple[Piece, ...] = (
    _piece("twinkle", 4, f"{_TWINKLE_A} {_TWINKLE_B} {_TWINKLE_B} {_TWINKLE_A}"),
    _piece("ode_to_joy", 4, f"{_ODE} e4:1.5 d4:0.5 d4:2 {_ODE} d4:1.5 c4:0.5 c4:2", 2),
    _piece(
        "frere_jacques",
        4,
        "c4 d4 e4 c4 c4 d4 e4 c4 e4 f4 g4:2 e4 f4 g4:2 g4:0.5 a4:0.5 g4:0.5 f4:0.5 e4 c4"
        " g4:0.5 a4:0.5 g4:0.5 f4:0.5 e4 c4 c4 g3 c4:2 c4 g3 c4:2",
        7,
    ),
    _piece(
        "au_clair_de_la_lune",
        4,
        "c4 c4 c4 d4 e4:2 d4:2 c4 e4 d4 d4 c4:4 c4 c4 c4 d4 e4:2 d4:2 c4 e4 d4 d4 c4:4"
        " d4 d4 d4 d4 a3:2 a3:2 d4 c4 b3 a3 g3:4 c4 c4 c4 d4 e4:2 d4:2 c4 e4 d4 d4 c4:4",
        5,
    ),
    _piece(
        "scarborough_fair",
        3,
        "d4:2 d4 a4:2 a4 e4:1.5 f4:0.5 e4 d4:3 a4:2 c5 d5:2 c5 a4 b4 g4 a4:3"
        " d5:2 d5 d5 c5 a4 a4 g4 f4 e4 c4:2 d4:2 a4 g4 f4 e4 d4 c4 d4:3",
    ),
    _piece(
        "minuet_in_g",
        3,
        f"{_MINUET} c5 d5:0.5 c5:0.5 b4:0.5 a4:0.5 b4 c5:0.5 b4:0.5 a4:0.5 g4:0.5"
        " f#4 g4:0.5 a4:0.5 b4:0.5 g4:0.5 a4:3",
    ),
    _piece(
        "c_major_scale",
        4,
        " ".join(
            f"{step}:0.5"
            for step in (
                "c4 d4 e4 f4 g4 a4 b4 c5 d5 e5 f5 g5 a5 b5 c6"
                " b5 a5 g5 f5 e5 d5 c5 b4 a4 g4 f4 e4 d4"
            ).split()
        )
        + " c4:2",
    ),
    _piece(
        "a_minor_arpeggio",
        3,
        " ".join(f"{step}:0.5" for step in "a3 c4 e4 a4 e4 c4 a3 c4 e4 a4 e4 c4".split() * 2)
        + " a3:3",
    ),
    _piece(
        "mary",
        4,
        "e4 d4 c4 d4 e4 e4 e4:2 d4 d4 d4:2 e4 g4 g4:2 e4 d4 c4 d4 e4 e4 e4 e4 d4 d4 e4 d4 c4:4",
        3,
    ),
    _piece(
        "hot_cross_buns",
        4,
        "e4 d4 c4 r e4 d4 c4 r c4:0.5 c4:0.5 c4:0.5 c4:0.5 d4:0.5 d4:0.5 d4:0.5 d4:0.5"
        " e4 d4 c4 r e4 d4 c4 r e4 d4 c4 r c4:0.5 c4:0.5 c4:0.5 c4:0.5"
        " d4:0.5 d4:0.5 d4:0.5 d4:0.5 e4 d4 c4:2",
        4,
    ),
    _piece(
        "london_bridge",
        4,
        "g4:1.5 a4:0.5 g4 f4 e4 f4 g4:2 d4 e4 f4:2 e4 f4 g4:2 g4:1.5 a4:0.5 g4 f4 e4 f4 g4:2"
        " d4:2 g4:2 e4 c4:3",
        2,
    ),
    _piece(
        "when_the_saints",
        4,
        "c4 e4 f4 g4:4 r c4 e4 f4 g4:4 r c4 e4 f4 g4:2 e4:2 c4:2 e4:2 d4:4"
        " r e4 e4 d4 c4:3 c4 e4:2 g4 g4 f4:3 f4 e4 f4 g4:2 e4:2 c4:2 d4:2 c4:4",
        -2,
    ),
    _piece(
        "row_your_boat",
        2,
        "c4 c4 c4:0.6667 d4:0.3333 e4 e4:0.6667 d4:0.3333 e4:0.6667 f4:0.3333 g4:2"
        " c5:0.3333 c5:0.3333 c5:0.3334 g4:0.3333 g4:0.3333 g4:0.3334"
        " e4:0.3333 e4:0.3333 e4:0.3334 c4:0.3333 c4:0.3333 c4:0.3334"
        " g4:0.6667 f4:0.3333 e4:0.6667 d4:0.3333 c4:2",
        5,
    ),
    _piece(
        "greensleeves",
        3,
        "a4 c5:2 d5 e5:1.5 f5:0.5 e5 d5:2 b4 g4:1.5 a4:0.5 b4 c5:2 a4 a4:1.5 g#4:0.5 a4 b4:2 g#4"
        " e4:2 a4 c5:2 d5 e5:1.5 f5:0.5 e5 d5:2 b4 g4:1.5 a4:0.5 b4 c5:1.5 b4:0.5 a4 g#4:1.5"
        " f#4:0.5 g#4 a4:3",
    ),
    _piece(
        "amazing_grace",
        3,
        "d4 g4:2 b4:0.5 g4:0.5 b4:2 a4 g4:2 e4 d4:2 d4 g4:2 b4:0.5 g4:0.5 b4:2 a4 d5:5 b4"
        " d5:1.5 b4:0.5 d5:0.5 b4:0.5 g4:2 d4 e4:1.5 g4:0.5 g4:0.5 e4:0.5 d4:2 d4 g4:2"
        " b4:0.5 g4:0.5 b4:2 a4 g4:3",
    ),
    _piece(
        "jingle_bells",
        4,
        "e4 e4 e4:2 e4 e4 e4:2 e4 g4 c4:1.5 d4:0.5 e4:4 f4 f4 f4:1.5 f4:0.5 f4 e4 e4"
        " e4:0.5 e4:0.5 e4 d4 d4 e4 d4:2 g4:2 e4 e4 e4:2 e4 e4 e4:2 e4 g4 c4:1.5 d4:0.5 e4:4"
        " f4 f4 f4:1.5 f4:0.5 f4 e4 e4 e4:0.5 e4:0.5 g4 g4 f4 d4 c4:4",
        5,
    ),
    _piece(
        "five_finger_study",
        4,
        " ".join(
            f"{step}:0.5"
            for step in (
                "c4 d4 e4 f4 g4 f4 e4 d4 c4 d4 e4 f4 g4 f4 e4 d4"
                " d4 e4 f4 g4 a4 g4 f4 e4 d4 e4 f4 g4 a4 g4 f4 e4"
            ).split()
        )
        + " c4:4",
    ),
)
"""Songs and studies in the public domain, in several keys, metres and rhythms."""


def _by_ear(rhythm: str, degrees: str, keynote: int) -> str:
    """``rhythm`` (values in beats) over and over, on ``degrees`` of a major scale from 1 up."""
    scale = ("c", "d", "e", "f", "g", "a", "b")
    values = rhythm.split()
    words: list[str] = []
    for number, degree in enumerate(degrees):
        step = int(degree) - 1
        name = f"{scale[step % 7]}{keynote + step // 7}"
        words.append(f"{name}:{values[number % len(values)]}")
    return " ".join(words)


STUDIES: tuple[Piece, ...] = (
    _piece("dotted_march", 4, _by_ear("0.75 0.25 0.75 0.25 1 1", "135135543234531" * 3, 4), 2),
    _piece(
        "jig",
        2,
        _by_ear("0.3333 0.3333 0.3334 0.3333 0.3333 0.3334", "135642123543" * 4, 4) + " c4:2",
    ),
    _piece(
        "siciliana",
        2,
        _by_ear("0.5 0.1667 0.3333 0.6667 0.3333", "1233554321" * 5, 4) + " c4:2",
        5,
    ),
    _piece(
        "sixteenths", 2, _by_ear("0.25 0.25 0.25 0.25 0.5 0.5", "123455345675" * 5, 4) + " c4:2"
    ),
    _piece("syncopation", 4, _by_ear("0.5 1 0.5 1 1", "1355432135642531" * 3, 4), 3),
    _piece(
        "triplets_and_crotchets",
        4,
        _by_ear("0.3333 0.3333 0.3334 1 0.3333 0.3333 0.3334 1", "12354321" * 4, 4) + " c4:2",
        7,
    ),
    _piece("in_five", 5, _by_ear("1 0.5 0.5 1 1 1", "135432176543" * 4, 4), 2),
    _piece("long_and_short", 4, _by_ear("2 1 1 1.5 0.5 2", "135432156534" * 3, 4), -3),
)
"""Made rhythms, each kept throughout: dotted, in six, swung in three, syncopated, in five."""


def _pairs(piece: Piece) -> list[int]:
    """Indices of notes that begin a pair of half beats on the beat."""
    found: list[int] = []
    place = 0.0
    index = 0
    while index + 1 < len(piece.notes):
        (value, midi), (other, second) = piece.notes[index], piece.notes[index + 1]
        if value == other == 0.5 and place % 1 == 0 and midi is not None and second is not None:
            found.append(index)
            place += 1
            index += 2
            continue
        place += value
        index += 1
    return found


def make_performance(
    seed: int,
    fault: Fault,
    *,
    piece: Piece | None = None,
    player: Player | None = None,
    detector: Detector | None = None,
    tempo_bpm: float | None = None,
    start: float = 0.6,
) -> MadePerformance:
    """Play ``piece`` (or a random one that can have the fault) with ``fault``, and hear it.

    ``tempo_bpm`` is the tempo at the beginning; without it, one from 72 to 116 is drawn.
    """
    rng = random.Random(seed)
    if piece is None:
        fit = [
            each
            for each in PIECES
            if (fault != Fault.UNEVEN or each.has_pairs)
            and (
                fault not in (Fault.MISSED, Fault.WRONG_NOTES, Fault.RITARDANDO, Fault.WOBBLE)
                or each.length >= 24
            )
        ]
        piece = rng.choice(fit)
    has_intonation = fault.needs_intonation or rng.random() < 0.5
    player = player or Player(
        jitter=rng.uniform(0.005, 0.012),
        articulation=rng.choice((0.85, 0.93, 0.97)),
        has_intonation=has_intonation,
        rings=not has_intonation,
    )
    detector = detector or Detector(lateness=rng.uniform(0.01, 0.035), beats=rng.random() < 0.85)
    drawn = float(rng.randint(72, 116))
    tempo = drawn if tempo_bpm is None else tempo_bpm
    details: dict[str, float] = {}
    at: list[float] = []

    # where each beat falls
    total = sum(value for value, _ in piece.notes)
    change = 1.0
    if fault == Fault.RUSH:
        change = rng.uniform(1.12, 1.25)
    elif fault == Fault.DRAG:
        change = rng.uniform(0.78, 0.89)
    ramp_from = rng.choice((0.0, 0.0, 0.4)) if fault in (Fault.RUSH, Fault.DRAG) else 0.0
    depth, wave = rng.uniform(0.08, 0.13), rng.uniform(8, 16)
    # how much of the ending slows, before its last note
    slow_beats = min(rng.choice((3.0, 4.0, 6.0)), total / 5) + piece.notes[-1][0]
    slowest = rng.uniform(0.6, 0.75)
    details["tempo_end_bpm"] = tempo * change

    def pace(beat: float) -> float:
        """Beats a minute at ``beat``."""
        through = beat / total
        if fault in (Fault.RUSH, Fault.DRAG):
            ramp = max(0.0, (through - ramp_from) / (1 - ramp_from))
            return tempo * (1 + (change - 1) * ramp)
        if fault == Fault.WOBBLE:
            return tempo * (1 + depth * math.sin(2 * math.pi * beat / wave))
        if fault == Fault.RITARDANDO and beat > total - slow_beats:
            return tempo * (1 - (1 - slowest) * (beat - total + slow_beats) / slow_beats)
        return tempo

    grain = 24
    clock = [start]
    for tick in range(int(total * grain) + grain):
        clock.append(clock[-1] + 60 / pace(tick / grain) / grain)

    def time_of(beat: float) -> float:
        tick = beat * grain
        low = min(int(tick), len(clock) - 2)
        return clock[low] + (tick - low) * (clock[low + 1] - clock[low])

    # where each note falls
    share = rng.uniform(0.6, 0.645) if fault == Fault.UNEVEN else 0.5
    firsts = set(_pairs(piece)) if fault == Fault.UNEVEN else set()
    sounded = [i for i, (_, midi) in enumerate(piece.notes) if midi is not None]
    places: list[float] = []
    beat = 0.0
    for value, _ in piece.notes:
        places.append(beat)
        beat += value
    inner = [i for i in sounded if 3 <= sounded.index(i) < len(sounded) - 3]
    dropped: set[int] = set()
    if fault == Fault.MISSED:
        dropped = set(rng.sample(inner, rng.choice((2, 3, 3, 4))))
    changed: dict[int, int] = {}
    if fault == Fault.WRONG_NOTES:
        for i in rng.sample(inner, rng.choice((3, 4))):
            changed[i] = rng.choice((-2, -1, 1, 2))
    pause_at, pause = -1.0, 0.0
    if fault == Fault.PAUSE:
        bars = [
            places[i]
            for i in sounded
            if places[i] % piece.beats_per_bar == 0 and 0.2 < places[i] / total < 0.85
        ]
        pause_at, pause = rng.choice(bars), rng.uniform(0.8, 2.2)
        details["pause"] = pause
    pitch_classes = [midi % 12 for _, midi in piece.notes if midi is not None]
    often = [pc for pc in sorted(set(pitch_classes)) if pitch_classes.count(pc) >= 3]
    out = rng.choice(often) if fault == Fault.ONE_NOTE_OUT else -1
    out_cents = rng.choice((-1, 1)) * rng.uniform(32, 48)
    whole = {Fault.SHARP: 1, Fault.FLAT: -1}.get(fault, 0) * rng.uniform(25, 40)

    events: list[tuple[float, MusicEvent]] = []
    levels: list[tuple[float, float, float, bool]] = []
    latest = start
    for i in sounded:
        value, midi = piece.notes[i]
        assert midi is not None
        first = time_of(places[i])
        after = time_of(places[i] + value)
        if i in firsts:
            after = first + 2 * (after - first) * share
        if i - 1 in firsts:
            end = time_of(places[i] + value)
            first = time_of(places[i - 1]) + (end - time_of(places[i - 1])) * share
        stood = pause if fault == Fault.PAUSE and places[i] >= pause_at - 1e-9 else 0.0
        first, after = first + stood, after + stood
        if places[i] == pause_at:
            at.append(first - pause)
        onset = first + rng.gauss(0, player.jitter)
        held = max(0.06, (after - onset) * player.articulation)
        if i in dropped:
            at.append(first)
            continue
        if i in changed:
            midi += changed[i]
            at.append(first)
        cents = whole + rng.gauss(0, player.spread_cents)
        if midi % 12 == out:
            cents += out_cents
            at.append(first)
        loudness = -24 + rng.uniform(-3, 3)
        levels.append((onset, onset + held, loudness, player.rings))
        latest = max(latest, onset + held)
        heard_at = onset + detector.lateness + rng.gauss(0, detector.jitter)
        heard_cents = cents + rng.gauss(0, detector.spread_cents)
        heard_midi = midi + round(heard_cents / 100)
        heard_cents -= 100 * (heard_midi - midi)
        length = max(0.05, held + rng.gauss(0, 0.03))
        heard = PerformedNote(
            onset=heard_at,
            duration=length,
            midi=heard_midi,
            f0_hz=440 * 2 ** ((heard_midi - 69) / 12 + heard_cents / 1200)
            if player.has_intonation
            else None,
            deviation_cents=heard_cents if player.has_intonation else None,
            loudness_db=loudness + rng.gauss(0, 0.5),
            confidence=min(1.0, max(0.3, rng.gauss(0.88, 0.06))),
        )
        events.append((heard_at + 0.1, Onset(at=heard_at, strength=1.0, loudness_db=loudness)))
        if rng.random() < detector.missing:
            continue
        if rng.random() < detector.extra and length > 0.4:
            cut = length * rng.uniform(0.3, 0.7)
            events.append((heard.onset + cut, evolve(heard, duration=cut)))
            tail = evolve(
                heard,
                onset=heard.onset + cut,
                duration=length - cut,
                midi=heard.midi + rng.choice((0, 0, 12, -1)),
                confidence=rng.uniform(0.3, 0.6),
            )
            events.append((tail.offset, tail))
            continue
        events.append((heard.offset, heard))

    if detector.beats:
        beat = 0.0
        while beat <= total:
            stood = pause if beat >= pause_at - 1e-9 and pause_at >= 0 else 0.0
            when = time_of(beat) + stood + rng.gauss(0, 0.015)
            events.append((when + 0.05, Beat(at=when, confidence=0.8)))
            beat += 1
    at_100 = 0.0
    while at_100 < latest + 1:
        loud = -62.0
        for onset, end, loudness, rings in levels:
            if onset - 0.05 <= at_100 < end:
                loud = max(loud, loudness - (6.0 * (at_100 - onset) if rings else 0.0))
            elif end <= at_100:
                loud = max(loud, loudness - 60 * (at_100 - end) - 6)
        events.append((at_100 + 0.1, Level(at=at_100, level_db=loud + rng.gauss(0, 0.7))))
        at_100 = round(at_100 + 0.1, 3)
    events.sort(key=lambda each: each[0])
    return MadePerformance(
        piece=piece.name,
        fault=fault,
        tempo_bpm=tempo,
        events=tuple(event for _, event in events),
        duration=latest + 1,
        at=tuple(at),
        details=details,
    )


def many(
    count: int, faults: tuple[Fault, ...] = tuple(Fault), seed: int = 0
) -> Iterator[MadePerformance]:
    """``count`` performances of each fault."""
    for number, fault in enumerate(faults):
        for k in range(count):
            yield make_performance(seed * 100_000 + number * 1000 + k, fault)
