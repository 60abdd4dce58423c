"""Observations: what is worth saying about a performance, ranked, with the facts behind it.

A fault is observed only where it stands out of what a player's own jitter, a detector's errors and
good taste explain: every threshold says what it is measured against. What would need the printed
music is not here.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping

from attrs import field, frozen

from .figure import Figure
from .places import place_of_instant, place_of_span
from .summary import PerformanceSummary, TakeSummary

__all__ = [
    "ENOUGH_NOTES",
    "Figure",
    "Observation",
    "ObservationKind",
    "observe",
    "observe_take",
]


class ObservationKind(enum.StrEnum):
    """Faults first, virtues after."""

    RUSHING = "rushing"
    DRAGGING = "dragging"
    UNSTEADY_TEMPO = "unsteady_tempo"
    UNEVEN_RHYTHM = "uneven_rhythm"
    HESITATION = "hesitation"
    MISSED_NOTES = "missed_notes"
    WRONG_NOTES = "wrong_notes"
    REPEATED_TRIES = "repeated_tries"
    SHARP = "sharp"
    FLAT = "flat"
    NOTE_OUT_OF_TUNE = "note_out_of_tune"
    UNSTABLE_PITCH = "unstable_pitch"
    CHOPPY = "choppy"
    FLAT_DYNAMICS = "flat_dynamics"
    STICKING_OUT = "sticking_out"
    LOW_VOICE_TOO_LOUD = "low_voice_too_loud"

    STEADY_TEMPO = "steady_tempo"
    EVEN_RHYTHM = "even_rhythm"
    FLUENT = "fluent"
    IN_TUNE = "in_tune"
    LEGATO = "legato"
    SHAPED_DYNAMICS = "shaped_dynamics"
    GOOD_BALANCE = "good_balance"
    SHAPED_ENDING = "shaped_ending"
    IMPROVED = "improved"
    PERSEVERED = "persevered"

    @property
    def is_praise(self) -> bool:
        return self in _PRAISE


_PRAISE = frozenset(
    {
        ObservationKind.STEADY_TEMPO,
        ObservationKind.EVEN_RHYTHM,
        ObservationKind.FLUENT,
        ObservationKind.IN_TUNE,
        ObservationKind.LEGATO,
        ObservationKind.SHAPED_DYNAMICS,
        ObservationKind.GOOD_BALANCE,
        ObservationKind.SHAPED_ENDING,
        ObservationKind.IMPROVED,
        ObservationKind.PERSEVERED,
    }
)


@frozen(kw_only=True)
class Observation:
    """One thing worth saying.

    ``salience`` ranks it (0 to 1, faults and praise each on their own scale). ``start`` and ``end``
    are seconds of session media time. ``place`` is the same in words a person can follow ("in the
    second half", "towards the end"). ``facts`` are named figures, all of them figures of the
    summary, e.g. ``tempo_start_bpm``, ``tempo_end_bpm``, ``deviation``, ``gap``; ``names`` are
    named words, e.g. ``note`` -> "F sharp". ``text`` is one plain sentence of fact.
    """

    kind: ObservationKind
    take: int
    start: float
    end: float
    place: str
    salience: float
    text: str
    facts: Mapping[str, Figure] = field(factory=dict)
    names: Mapping[str, str] = field(factory=dict)


# A musician's phrasing bends the tempo by a few percent; a listener notices a drift of about six.
DRIFT_PERCENT = 6.0
UNSTEADY_PERCENT = 5.0
# From the even 50 on; triplets (66.7) and dotted notes (75) may be written, so they are no fault.
UNEVEN_SHARE, TRIPLET_SHARE = 4.5, 15.3
RAGGED_PERCENT = 25.0
# A tenth of a tone: less is within what good players differ by.
OUT_OF_TUNE_CENTS = 18.0
NOTE_OUT_CENTS = 22.0
UNSTABLE_CENTS = 30.0
CHOPPY_RATIO, LEGATO_RATIO = 0.42, 0.9
NO_DYNAMICS_DB, SHAPED_DYNAMICS_DB = 1.2, 6.0
LOW_TOO_LOUD_DB = 3.0
SLOWING_PERCENT = 8.0
# Where more of the notes than this lie beside every grid, the playing is too free or too rich for
# its pulse to be followed, and what departs from the pulse is no fault.
FOLLOWED_PERCENT, FASTEST_FOLLOWED = 6.0, 6.0
SHORTEST_STOP = 0.6
# A drift is one where it is larger than the tempo's own coming and going.
DRIFT_OVER_STRAY = 2.0
# Chromatic notes are normal in music that is fast or has few of them for its length.
FEWEST_STRAYS_PERCENT, MOST_NOTES_A_SECOND = 2.0, 4.5
STEADY_PERCENT = 3.5
EVEN_SHARE = 3.0
IN_TUNE_CENTS = 12.0
ENOUGH_NOTES, ENOUGH_SECONDS = 8, 4.0
"""Fewer notes in a take than this are not judged, unless they sound longer."""


def observe(summary: PerformanceSummary) -> tuple[Observation, ...]:
    """What is worth saying about the takes, best first.

    The latest take that is long enough comes first, its faults before its virtues, each by
    salience; then the takes before it.
    """
    observed: list[Observation] = []
    judged = [take for take in summary.takes if _is_enough(take)]
    for index in range(len(judged) - 1, -1, -1):
        found = list(observe_take(judged[index]))
        if index == len(judged) - 1 and index > 0:
            found += _improvements(judged[index - 1], judged[index])
        found.sort(key=lambda each: (each.kind.is_praise, -each.salience))
        observed += found
    return tuple(observed)


def _is_followed(take: TakeSummary) -> bool:
    """Is the pulse known well enough to say what departs from it?"""
    ragged = take.rhythm_raggedness
    return (ragged is None or ragged.value <= FOLLOWED_PERCENT) and _pace(take) <= FASTEST_FOLLOWED


def _pace(take: TakeSummary) -> float:
    """Notes a second."""
    return take.note_count.value / max(1.0, take.end - take.start)


def _is_enough(take: TakeSummary) -> bool:
    return take.note_count.value >= ENOUGH_NOTES or (
        take.note_count.value >= 4 and take.end - take.start >= ENOUGH_SECONDS
    )


def observe_take(take: TakeSummary) -> Iterator[Observation]:
    """What is worth saying about one take, in no order."""
    yield from _tempo(take)
    yield from _rhythm(take)
    yield from _stops(take)
    yield from _notes(take)
    yield from _intonation(take)
    yield from _sound(take)


def _about(
    take: TakeSummary,
    kind: ObservationKind,
    salience: float,
    text: str,
    *,
    start: float | None = None,
    end: float | None = None,
    place: str | None = None,
    names: Mapping[str, str] | None = None,
    **facts: Figure | None,
) -> Observation:
    begin = take.start if start is None else start
    finish = take.end if end is None else end
    if place is None:
        place = place_of_span(begin, finish, take.start, take.end)
    return Observation(
        kind=kind,
        take=take.number,
        start=begin,
        end=finish,
        place=place,
        salience=max(0.0, min(1.0, salience)),
        text=text,
        facts={name: fact for name, fact in facts.items() if fact is not None},
        names=names or {},
    )


# --- tempo ----------------------------------------------------------------------


def _tempo(take: TakeSummary) -> Iterator[Observation]:
    tempo, drift = take.tempo_bpm, take.tempo_drift
    first, last = take.tempo_start_bpm, take.tempo_end_bpm
    stray = take.tempo_unsteadiness
    drifts = (
        drift is not None
        and abs(drift.value) >= DRIFT_PERCENT
        and drift.confidence >= 0.5
        and (stray is None or abs(drift.value) >= DRIFT_OVER_STRAY * stray.value)
        and _is_followed(take)
    )
    if drift is not None and first is not None and last is not None and drifts:
        kind = ObservationKind.RUSHING if drift.value > 0 else ObservationKind.DRAGGING
        how = "faster" if drift.value > 0 else "slower"
        seconds = drift.end - drift.start
        to_the_end = drift.end > take.end - 0.15 * (take.end - take.start)
        whole = seconds > 0.8 * (take.end - take.start)
        if to_the_end and not whole and seconds < 45:
            place = f"in the last {seconds:.0f} seconds"
        else:
            place = place_of_span(drift.start, drift.end, take.start, take.end)
        yield _about(
            take,
            kind,
            0.5 + abs(drift.value) / 40,
            f"The tempo got {how}, from {first.value:.0f} to {last.value:.0f} beats a minute,"
            f" {place}.",
            start=drift.start,
            end=drift.end,
            place=place,
            tempo_start_bpm=first,
            tempo_end_bpm=last,
            drift=drift,
            drift_duration=take.drift_duration,
            tempo_bpm=tempo,
            practice_tempo_bpm=take.practice_tempo_bpm,
        )
    if (
        stray is not None
        and stray.value >= UNSTEADY_PERCENT
        and stray.confidence >= 0.5
        and _is_followed(take)
    ):
        yield _about(
            take,
            ObservationKind.UNSTEADY_TEMPO,
            0.45 + stray.value / 25,
            "The tempo comes and goes.",
            unsteadiness=stray,
            tempo_bpm=tempo,
            practice_tempo_bpm=take.practice_tempo_bpm,
        )
    slowing = take.ending_slowing
    sagged = -2 * drift.value if drift is not None and drifts else 0.0
    if (
        slowing is not None
        and slowing.value >= max(SLOWING_PERCENT, sagged)  # else it goes on as it went before
        and slowing.confidence >= 0.4
    ):
        yield _about(
            take,
            ObservationKind.SHAPED_ENDING,
            0.8,
            "The ending broadens.",
            start=slowing.start,
            end=slowing.end,
            place="at the very end",
            slowing=slowing,
        )
    steady = (
        tempo is not None
        and tempo.confidence >= 0.4
        and not drifts
        and drift is not None
        and abs(drift.value) < STEADY_PERCENT + 1
        and (stray is None or stray.value < STEADY_PERCENT)
        and not take.hesitations
    )
    if steady and tempo is not None:
        yield _about(
            take,
            ObservationKind.STEADY_TEMPO,
            0.75,
            f"The tempo is steady, at {tempo.value:.0f} beats a minute.",
            tempo_bpm=tempo,
        )


# --- rhythm ---------------------------------------------------------------------


def _rhythm(take: TakeSummary) -> Iterator[Observation]:
    share = take.long_share
    if share is not None and share.confidence >= 0.55:
        off = share.value - 50
        if UNEVEN_SHARE <= abs(off) <= TRIPLET_SHARE:
            order = "long and short" if off > 0 else "short and long"
            yield _about(
                take,
                ObservationKind.UNEVEN_RHYTHM,
                0.55 + abs(off) / 40,
                f"Neighbouring short notes are unequal: {order}, where they could be even.",
                names={"order": order},
                long_share=share,
                long_short_ratio=take.long_short_ratio,
                tempo_bpm=take.tempo_bpm,
                practice_tempo_bpm=take.practice_tempo_bpm,
            )
        elif abs(off) < EVEN_SHARE:
            yield _about(
                take,
                ObservationKind.EVEN_RHYTHM,
                0.7,
                "The short notes are even.",
                long_share=share,
            )
    ragged = take.rhythm_raggedness
    if (
        ragged is not None
        and ragged.value >= RAGGED_PERCENT
        and ragged.confidence >= 0.5
        and (share is None or abs(share.value - 50) < UNEVEN_SHARE)
    ):
        yield _about(
            take,
            ObservationKind.UNEVEN_RHYTHM,
            0.3 + ragged.value / 100,
            "Many notes fall beside the beat.",
            names={"order": "beside the beat"},
            raggedness=ragged,
            tempo_bpm=take.tempo_bpm,
            practice_tempo_bpm=take.practice_tempo_bpm,
        )


def _stops(take: TakeSummary) -> Iterator[Observation]:
    followed = _is_followed(take)
    stops = [
        each
        for each in take.hesitations
        if followed and each.gap.confidence >= 0.35 and each.gap.value >= SHORTEST_STOP
    ]
    if stops:
        worst = max(stops, key=lambda each: each.gap.value)
        tries = [each for each in stops if each.went_back]
        if len(tries) >= 2 and take.repeated_tries is not None:
            yield _about(
                take,
                ObservationKind.REPEATED_TRIES,
                0.6 + 0.1 * len(tries),
                f"You stopped and tried again, {tries[0].place}.",
                start=tries[0].at,
                end=tries[-1].at,
                place=tries[0].place,
                tries=take.repeated_tries,
                since_start=tries[0].since_start,
            )
        yield _about(
            take,
            ObservationKind.HESITATION,
            0.5 + 0.2 * min(2.0, worst.gap.value) + 0.03 * min(5, len(stops)),
            f"The music stood still for {worst.gap.value:.1f} seconds {worst.place}.",
            start=worst.at,
            end=worst.at + worst.gap.value,
            place=worst.place,
            gap=worst.gap,
            since_start=worst.since_start,
            count=take.hesitation_count,
        )
        if take.end - worst.at > 4:
            yield _about(
                take, ObservationKind.PERSEVERED, 0.45, "After the stop the playing went on."
            )
    elif take.tempo_bpm and take.note_count.value >= 12 and not (take.missed or take.hesitations):
        yield _about(take, ObservationKind.FLUENT, 0.5, "It went through without a stop.")
    holes = take.missed
    belief = sum(each.confidence for each in holes)
    sure = max((each.confidence for each in holes), default=0.0)
    if (sure >= 0.8 or (sure >= 0.62 and belief >= 1.1)) and len(holes) <= 8 and followed:
        surest = max(holes, key=lambda each: each.confidence)
        yield _about(
            take,
            ObservationKind.MISSED_NOTES,
            0.6 + 0.12 * belief,
            f"The beat went on but notes seem to be missing {surest.place}.",
            start=surest.at,
            end=surest.at,
            place=surest.place,
            count=take.missed_count,
            since_start=surest.since_start,
        )


# --- notes ----------------------------------------------------------------------


def _notes(take: TakeSummary) -> Iterator[Observation]:
    belief = sum(each.confidence for each in take.foreign)
    count = take.note_count.value
    notable = 100 * len(take.foreign) >= FEWEST_STRAYS_PERCENT * count
    if belief >= 0.5 and notable and _pace(take) <= MOST_NOTES_A_SECOND:
        surest = max(take.foreign, key=lambda each: (not each.differs, each.confidence))
        names = {"note": surest.name}
        if surest.differs or take.key is None:
            names["reason"] = "differs"
            text = f"{surest.name}, {surest.place}, isn't the note that place has another time."
        else:
            names |= {"reason": "foreign", "key": take.key}
            text = f"{surest.name}, {surest.place}, doesn't belong to {take.key} like the rest."
        yield _about(
            take,
            ObservationKind.WRONG_NOTES,
            0.55 + 0.15 * belief,
            text,
            start=surest.at,
            end=surest.at,
            place=surest.place,
            names=names,
            count=take.foreign_count,
            since_start=surest.since_start,
        )


def _intonation(take: TakeSummary) -> Iterator[Observation]:
    overall, spread = take.intonation, take.intonation_spread
    if overall is None or spread is None or take.fixed_pitch:
        return
    out = [
        each
        for each in take.pitch_classes
        if abs(each.deviation.value) >= max(NOTE_OUT_CENTS, 2.2 * spread.value)
        and each.deviation.confidence >= 0.5
    ]
    if out and len(out) <= max(1, len(take.pitch_classes) // 3):
        worst = max(out, key=lambda each: abs(each.deviation.value) * each.count**0.5)
        how = "sharp" if worst.deviation.value > 0 else "flat"
        yield _about(
            take,
            ObservationKind.NOTE_OUT_OF_TUNE,
            0.55 + abs(worst.deviation.value) / 120,
            f"{worst.name} is {how} each time; the other notes are in tune with each other.",
            place="each time it comes",
            names={"note": worst.name, "direction": how},
            deviation=worst.deviation,
            tuning_hz=take.tuning_hz,
        )
    if abs(overall.value) >= OUT_OF_TUNE_CENTS and overall.confidence >= 0.4:
        how = "sharp" if overall.value > 0 else "flat"
        kind = ObservationKind.SHARP if overall.value > 0 else ObservationKind.FLAT
        yield _about(
            take,
            kind,
            0.55 + abs(overall.value) / 100,
            f"Everything is {how} by about the same amount.",
            names={"direction": how},
            deviation=overall,
            tuning_hz=take.tuning_hz,
        )
    if spread.value >= UNSTABLE_CENTS and spread.confidence >= 0.9:
        yield _about(
            take,
            ObservationKind.UNSTABLE_PITCH,
            0.35 + spread.value / 150,
            "The same note is higher one time and lower another.",
            spread=spread,
        )
    elif not out and abs(overall.value) < IN_TUNE_CENTS and spread.value < 15:
        if spread.confidence >= 0.6 and take.fixed_pitch is False:
            yield _about(
                take,
                ObservationKind.IN_TUNE,
                0.72,
                "It is well in tune.",
                deviation=overall,
                spread=spread,
            )


# --- sound ----------------------------------------------------------------------


def _sound(take: TakeSummary) -> Iterator[Observation]:
    count = take.note_count.value
    touch = take.articulation
    if touch is not None and touch.confidence >= 0.5:
        sustains = (
            take.intonation is not None and not take.fixed_pitch
        )  # a plucked or struck note dies by itself
        if touch.value < CHOPPY_RATIO and sustains and take.note_count.value >= 12:
            yield _about(
                take,
                ObservationKind.CHOPPY,
                0.4,
                "The notes are short and apart.",
                articulation=touch,
            )
        elif touch.value > LEGATO_RATIO and sustains:
            yield _about(
                take, ObservationKind.LEGATO, 0.55, "The notes are well joined.", articulation=touch
            )
    span = take.dynamics_range
    if span is not None and span.confidence >= 0.9:
        if span.value < NO_DYNAMICS_DB:
            yield _about(
                take,
                ObservationKind.FLAT_DYNAMICS,
                0.35,
                "It is all equally loud.",
                dynamics_range=span,
            )
        elif take.dynamics_shape == "arch" and span.value >= SHAPED_DYNAMICS_DB:
            yield _about(
                take,
                ObservationKind.SHAPED_DYNAMICS,
                0.6,
                "The loudness rises and falls over the take.",
                names={"shape": take.dynamics_shape},
                dynamics_range=span,
            )
    if 0 < len(take.loud) <= 2 and count >= 16 and _pace(take) <= MOST_NOTES_A_SECOND:
        worst = max(take.loud, key=lambda each: each.excess.value)
        yield _about(
            take,
            ObservationKind.STICKING_OUT,
            0.3 + worst.excess.value / 60,
            f"One note sticks out {worst.place}.",
            start=worst.at,
            end=worst.at,
            place=worst.place,
            excess=worst.excess,
        )
    balance = take.balance
    if balance is not None:
        if balance.value > LOW_TOO_LOUD_DB:
            yield _about(
                take,
                ObservationKind.LOW_VOICE_TOO_LOUD,
                0.4 + balance.value / 30,
                "The low voice covers the high one.",
                balance=balance,
            )
        elif balance.value < -1:
            yield _about(
                take,
                ObservationKind.GOOD_BALANCE,
                0.65,
                "The high voice sings out over the low one.",
                balance=balance,
            )


# --- one take against another -----------------------------------------------------


_IMPROVED: Mapping[ObservationKind, str] = {
    ObservationKind.RUSHING: "The rushing",
    ObservationKind.DRAGGING: "The slowing down",
    ObservationKind.UNSTEADY_TEMPO: "The unsteady tempo",
    ObservationKind.UNEVEN_RHYTHM: "The uneven rhythm",
    ObservationKind.HESITATION: "The hesitation",
    ObservationKind.MISSED_NOTES: "The gap where notes were missing",
    ObservationKind.WRONG_NOTES: "The note that did not fit",
    ObservationKind.REPEATED_TRIES: "The going back to try again",
    ObservationKind.SHARP: "The sharp tuning",
    ObservationKind.FLAT: "The flat tuning",
    ObservationKind.NOTE_OUT_OF_TUNE: "The note that was out of tune",
    ObservationKind.UNSTABLE_PITCH: "The unstable pitch",
    ObservationKind.CHOPPY: "The choppy touch",
    ObservationKind.FLAT_DYNAMICS: "The unchanging loudness",
    ObservationKind.STICKING_OUT: "The note that stuck out",
    ObservationKind.LOW_VOICE_TOO_LOUD: "The low voice's covering of the high one",
}
"""What of the take before is named, as the subject of a sentence."""


def _improvements(before: TakeSummary, after: TakeSummary) -> Iterator[Observation]:
    """Faults of the take before that this one has not."""
    now = {each.kind for each in observe_take(after)}
    for fault in observe_take(before):
        if fault.kind.is_praise or fault.kind in now or fault.salience < 0.5:
            continue
        yield _about(
            after,
            ObservationKind.IMPROVED,
            0.85,
            f"{_IMPROVED[fault.kind]} in take {before.number} was not heard in take"
            f" {after.number}.",
            names={"fault": fault.kind.value},
            place=place_of_instant(after.start, after.start, after.end),
        )
