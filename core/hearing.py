"""What was heard: the vocabulary between the senses and the conversation.

Every event is stamped with ``at``, the media time of the last input sample that was needed to know
it. ``since``, ``start`` and ``end`` say where in the input the thing itself lies, which is earlier.
"""

from __future__ import annotations

import enum

from attrs import frozen

from .media_time import MediaTime

__all__ = [
    "FloorChanged",
    "FloorEvent",
    "FloorLabel",
    "HearingEvent",
    "Instrument",
    "InstrumentHeard",
    "SpeechStarted",
    "SpeechStopped",
    "Transcript",
    "UtteranceEnded",
]


class FloorLabel(enum.StrEnum):
    """Who or what has the floor: what is sounding now."""

    SILENCE = "silence"
    SPEECH = "speech"
    PLAYING = "playing"
    SINGING = "singing"
    BOTH = "both"
    OWN_VOICE = "own_voice"
    OTHER = "other"

    @property
    def is_music(self) -> bool:
        """Somebody plays or sings, whether or not somebody talks too."""
        return self in (FloorLabel.PLAYING, FloorLabel.SINGING, FloorLabel.BOTH)

    @property
    def is_speech(self) -> bool:
        """Somebody other than the teacher talks, whether or not there is music too."""
        return self in (FloorLabel.SPEECH, FloorLabel.BOTH)


@frozen(kw_only=True)
class FloorChanged:
    """The floor has a new label, true since ``since``."""

    at: MediaTime
    label: FloorLabel
    since: MediaTime


class Instrument(enum.StrEnum):
    """What plays, or sings."""

    ACCORDION = "accordion"
    BANJO = "banjo"
    BASS_GUITAR = "bass guitar"
    CELLO = "cello"
    CLARINET = "clarinet"
    DOUBLE_BASS = "double bass"
    DRUMS = "drums"
    FLUTE = "flute"
    GUITAR = "guitar"
    HARMONICA = "harmonica"
    HARP = "harp"
    HARPSICHORD = "harpsichord"
    HORN = "horn"
    MALLETS = "mallets"
    MANDOLIN = "mandolin"
    ORGAN = "organ"
    PIANO = "piano"
    SAXOPHONE = "saxophone"
    TROMBONE = "trombone"
    TRUMPET = "trumpet"
    UKULELE = "ukulele"
    VIOLIN = "violin"
    VOICE = "voice"

    @property
    def has_fixed_pitch(self) -> bool | None:
        """Whether keys or bars make the pitch, and whoever plays can do nothing about it; ``None``
        where that is hard to say: frets and open strings are tuned by the player, after all."""
        if self in _KEYS:
            return True
        return False if self in _TUNED_WHILE_PLAYED else None


_KEYS = frozenset(
    (
        Instrument.ACCORDION,
        Instrument.HARMONICA,
        Instrument.HARPSICHORD,
        Instrument.MALLETS,
        Instrument.ORGAN,
        Instrument.PIANO,
    )
)
_TUNED_WHILE_PLAYED = frozenset(
    (
        Instrument.CELLO,
        Instrument.CLARINET,
        Instrument.DOUBLE_BASS,
        Instrument.FLUTE,
        Instrument.HORN,
        Instrument.SAXOPHONE,
        Instrument.TROMBONE,
        Instrument.TRUMPET,
        Instrument.VIOLIN,
        Instrument.VOICE,
    )
)


@frozen(kw_only=True)
class InstrumentHeard:
    """What has been playing since ``since`` is known to be ``instrument``. Told again while it
    goes on, for what was told may have been forgotten."""

    at: MediaTime
    since: MediaTime
    instrument: Instrument


FloorEvent = FloorChanged | InstrumentHeard


@frozen(kw_only=True)
class SpeechStarted:
    """A voice began to speak at ``since``, or goes on after an utterance was cut there."""

    at: MediaTime
    since: MediaTime


@frozen(kw_only=True)
class SpeechStopped:
    """The voice fell silent at ``since``: the hangover is already taken off."""

    at: MediaTime
    since: MediaTime


@frozen(kw_only=True)
class Transcript:
    """The words of utterance number ``utterance`` so far.

    ``final`` is false while it may still be revised. ``text`` is empty if there were no words.
    """

    at: MediaTime
    utterance: int
    text: str
    start: MediaTime
    end: MediaTime
    final: bool


@frozen(kw_only=True)
class UtteranceEnded:
    """The end-of-turn decision: the speaker is done. ``text`` may be empty (a cough, a noise)."""

    at: MediaTime
    utterance: int
    text: str
    start: MediaTime
    end: MediaTime


HearingEvent = FloorEvent | SpeechStarted | SpeechStopped | Transcript | UtteranceEnded
