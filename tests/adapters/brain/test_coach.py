"""The coach speaks kindly, briefly and truly, and understands what students ask."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from attrs import evolve

from maestra.adapters.brain.coach import Coach, amounts
from maestra.adapters.brain.coach.intents import Ask, Topic, understand
from maestra.adapters.brain.coach.tables import (
    FAULTS,
    MEANINGS,
    NEXT_STEPS,
    PRAISE,
    REASONS,
    REMEDIES,
    SAYINGS,
)
from maestra.app.experiments.made_performances import (
    PIECES,
    Detector,
    Fault,
    MadePerformance,
    make_performance,
)
from maestra.core.conversation.commands import QuestionKind
from maestra.core.conversation.history import Turn
from maestra.core.figures import stated_figures, unmeasured_figures
from maestra.core.performance.accumulator import PerformanceAccumulator
from maestra.core.performance.figure import Figure
from maestra.core.performance.notes import PerformedNote
from maestra.core.performance.observations import ObservationKind, observe, observe_take
from maestra.core.performance.summary import (
    ForeignNote,
    Hesitation,
    LoudNote,
    MissedNotes,
    PerformanceSummary,
    PitchClassIntonation,
    TakeSummary,
)
from maestra.core.persona import Persona
from maestra.ports.brain import BrainRequest, Remembers

PERSONA = Persona(id="anna", name="Anna", portrait="anna.png")


MARY = next(piece for piece in PIECES if piece.name == "mary")
NO_BEATS = Detector(jitter=0.005, lateness=0.01, missing=0.0, extra=0.0, beats=False)


class Conversation:
    """A student who asks a coach, and what was heard."""

    def __init__(self, *takes: MadePerformance, seed: int = 0) -> None:
        self.coach = Coach(seed)
        self.accumulator = PerformanceAccumulator()
        self.turns: list[Turn] = []
        self._end = 0.0
        for made in takes:
            self.play(made)

    def play(self, made: MadePerformance) -> None:
        for event in made.later(self._end).events:
            self.accumulator.add(event)
        self._end += made.duration + 6

    @property
    def summary(self) -> PerformanceSummary:
        return self.accumulator.summary()

    def prepare(
        self, question: str = "", kind: QuestionKind = QuestionKind.FOLLOW_UP
    ) -> tuple[str, ...]:
        """An answer that is made and not given."""
        return self.coach.compose(
            BrainRequest(
                epoch=1 + len(self.turns),
                kind=kind,
                question=question,
                summary=self.summary,
                observations=observe(self.summary),
                history=tuple(self.turns[-3:]),
                persona=PERSONA,
            )
        )

    def hear(self, question: str, heard: str) -> None:
        """Of the answer, ``heard``."""
        self.coach.heard(heard)
        if heard:
            self.turns.append(Turn(question=question, heard=heard))

    def ask(
        self, question: str = "", kind: QuestionKind = QuestionKind.FOLLOW_UP
    ) -> tuple[str, ...]:
        clauses = self.prepare(question, kind)
        self.hear(question, " ".join(clauses))
        return clauses

    def wake(self, question: str = "") -> tuple[str, ...]:
        self.turns.clear()
        return self.ask(question, QuestionKind.WAKE)


def made(fault: Fault, seed: int = 12) -> MadePerformance:
    """A performance in which the fault is plain: a song of some length, with pairs of notes."""
    return make_performance(seed, fault, piece=PIECES[5 if fault is Fault.UNEVEN else 0])


def compared(fault: Fault, seed: int) -> MadePerformance:
    return make_performance(seed, fault, piece=PIECES[5])


QUESTIONS: Mapping[str, tuple[Ask, Topic | None]] = {
    "What about my tempo?": (Ask.TOPIC, Topic.TEMPO),
    "Was my tempo steady?": (Ask.TOPIC, Topic.TEMPO),
    "what about my temple": (Ask.TOPIC, Topic.TEMPO),
    "how was my rythm": (Ask.TOPIC, Topic.RHYTHM),
    "what about the rhythem please": (Ask.TOPIC, Topic.RHYTHM),
    "comment on my rhythm": (Ask.TOPIC, Topic.RHYTHM),
    "was I in tune": (Ask.TOPIC, Topic.PITCH),
    "what about my peach": (Ask.TOPIC, Topic.PITCH),
    "And the intonation?": (Ask.TOPIC, Topic.PITCH),
    "what about dynamics": (Ask.TOPIC, Topic.DYNAMICS),
    "was it loud enough": (Ask.TOPIC, Topic.DYNAMICS),
    "how was my left hand": (Ask.TOPIC, Topic.BALANCE),
    "how was the ending": (Ask.TOPIC, Topic.ENDING),
    "was it legato": (Ask.TOPIC, Topic.ARTICULATION),
    "How can I fix that?": (Ask.HOW_TO_FIX, None),
    "how do i fix it": (Ask.HOW_TO_FIX, None),
    "Can you give me an exercise for that?": (Ask.HOW_TO_FIX, None),
    "how can I improve my rhythm": (Ask.HOW_TO_FIX, Topic.RHYTHM),
    "what should I practice": (Ask.PRACTISE, None),
    "Can you say that again, please?": (Ask.REPEAT, None),
    "could you repeat that": (Ask.REPEAT, None),
    "Was it better this time?": (Ask.COMPARE, None),
    "was my rhythm better now": (Ask.COMPARE, Topic.RHYTHM),
    "Which note?": (Ask.WHICH_NOTE, None),
    "How fast was it?": (Ask.HOW_FAST, Topic.TEMPO),
    "how much": (Ask.HOW_MUCH, None),
    "where was that": (Ask.WHERE, None),
    "why": (Ask.WHY, None),
    "Why does it sound so choppy?": (Ask.WHY, Topic.ARTICULATION),
    "Should I play it slower?": (Ask.SLOWER, Topic.TEMPO),
    "was anything good": (Ask.GOOD, None),
    "what else": (Ask.MORE, None),
    "did I play the right notes": (Ask.RIGHT_NOTES, Topic.NOTES),
    "how is my fingering": (Ask.NEEDS_EYES, None),
    "which bar was that in": (Ask.NEEDS_THE_MUSIC, None),
    "No no, that was on purpose.": (Ask.ON_PURPOSE, None),
    "Okay, I got it, let me try again.": (Ask.AGAIN, None),
    "Thank you.": (Ask.THANKS, None),
    "Okay, thank you, I'll try it.": (Ask.THANKS, None),
    "That's enough, thanks.": (Ask.STOP, None),
    "Please stop talking.": (Ask.STOP, None),
    "how was it": (Ask.COMMENT, None),
    "what did you think": (Ask.COMMENT, None),
    "": (Ask.UNKNOWN, None),
    "the weather is nice today": (Ask.UNKNOWN, None),
}


@pytest.mark.parametrize("text", QUESTIONS)
def test_understands(text: str) -> None:
    question = understand(text)

    assert (question.ask, question.topic) == QUESTIONS[text]


def test_a_note_is_asked_for_by_its_name() -> None:
    question = understand("Was my F sharp in tune?")

    assert (question.ask, question.pitch_class) == (Ask.NOTE_TUNING, 6)


EXPECTED_WORDS: Mapping[Fault, Sequence[str]] = {
    Fault.RUSH: ("sped up", "crept up", "rushed"),
    Fault.DRAG: ("slowed down", "sagged", "lost speed"),
    Fault.UNEVEN: ("uneven", "not half"),
    Fault.PAUSE: ("pause", "hesitated", "waited"),
    Fault.MISSED: ("missing", "left out", "missed a note"),
    Fault.WRONG_NOTES: ("wrong", "doesn't fit", "differently", "check"),
    Fault.SHARP: ("sharp",),
    Fault.FLAT: ("flat",),
    Fault.ONE_NOTE_OUT: ("sharp", "flat"),
}


@pytest.mark.parametrize("fault", EXPECTED_WORDS)
def test_says_something_good_then_what_matters_then_an_exercise(fault: Fault) -> None:
    talk = Conversation(made(fault))
    praise, remark, remedy = talk.wake()

    assert any(praise in wordings for wordings in PRAISE.values()) or praise.startswith(
        ("Thank you", "Good", "Nice")
    )
    assert any(words in remark for words in EXPECTED_WORDS[fault]), remark
    assert remedy.endswith(".")
    assert len(" ".join((praise, remark, remedy)).split()) <= 60


def figure(value: float, unit: str) -> Figure:
    return Figure(value=value, unit=unit, confidence=0.95, start=10.0, end=70.0)


PLAIN_TAKE = TakeSummary(
    number=1,
    start=10.0,
    end=70.0,
    note_count=figure(60, "count"),
    duration=figure(60, "s"),
    tempo_bpm=figure(92, "bpm"),
    practice_tempo_bpm=figure(74, "bpm"),
    key="D major",
)


def stop(at: float, *, went_back: bool = False) -> Hesitation:
    return Hesitation(
        at=at,
        gap=figure(1.6, "s"),
        place="in the middle",
        since_start=figure(at, "s"),
        went_back=went_back,
    )


def stray(at: float, *, differs: bool = False) -> ForeignNote:
    return ForeignNote(
        at=at,
        midi=65,
        name="F",
        place="in the second half",
        confidence=0.9,
        since_start=figure(at, "s"),
        differs=differs,
    )


def drifting(first: float, last: float) -> TakeSummary:
    return evolve(
        PLAIN_TAKE,
        tempo_start_bpm=figure(first, "bpm"),
        tempo_end_bpm=figure(last, "bpm"),
        tempo_drift=evolve(figure(100 * (last / first - 1), "percent"), start=50.0),
    )


IN_TUNE = evolve(
    PLAIN_TAKE,
    fixed_pitch=False,
    intonation=figure(0, "cents"),
    intonation_spread=figure(8, "cents"),
)


FAULTY: Mapping[str, tuple[ObservationKind, TakeSummary]] = {
    "rushing": (ObservationKind.RUSHING, drifting(96, 108)),
    "dragging": (ObservationKind.DRAGGING, drifting(108, 96)),
    "unsteady": (
        ObservationKind.UNSTEADY_TEMPO,
        evolve(PLAIN_TAKE, tempo_unsteadiness=figure(9, "percent")),
    ),
    "long and short": (
        ObservationKind.UNEVEN_RHYTHM,
        evolve(PLAIN_TAKE, long_share=figure(58.3, "percent")),
    ),
    "beside the beat": (
        ObservationKind.UNEVEN_RHYTHM,
        evolve(PLAIN_TAKE, rhythm_raggedness=figure(31.2, "percent")),
    ),
    "hesitation": (ObservationKind.HESITATION, evolve(PLAIN_TAKE, hesitations=(stop(31.0),))),
    "tries": (
        ObservationKind.REPEATED_TRIES,
        evolve(
            PLAIN_TAKE,
            hesitations=(stop(31.0, went_back=True), stop(40.0, went_back=True)),
            repeated_tries=figure(2, "count"),
        ),
    ),
    "missed": (
        ObservationKind.MISSED_NOTES,
        evolve(
            PLAIN_TAKE,
            missed=(
                MissedNotes(
                    at=218.0,
                    count=1,
                    place="in the middle",
                    confidence=0.9,
                    since_start=figure(208.0, "s"),
                ),
            ),
            missed_count=figure(1, "count"),
        ),
    ),
    "wrong": (
        ObservationKind.WRONG_NOTES,
        evolve(PLAIN_TAKE, foreign=(stray(44.4), stray(48.0)), foreign_count=figure(2, "count")),
    ),
    "differing": (
        ObservationKind.WRONG_NOTES,
        evolve(
            PLAIN_TAKE,
            foreign=(stray(44.4, differs=True), stray(48.0, differs=True)),
            foreign_count=figure(2, "count"),
        ),
    ),
    "sharp": (ObservationKind.SHARP, evolve(IN_TUNE, intonation=figure(26, "cents"))),
    "flat": (ObservationKind.FLAT, evolve(IN_TUNE, intonation=figure(-41, "cents"))),
    "one note out": (
        ObservationKind.NOTE_OUT_OF_TUNE,
        evolve(
            IN_TUNE,
            pitch_classes=(
                PitchClassIntonation(
                    pitch_class=9, name="A", deviation=figure(31, "cents"), count=8
                ),
            ),
        ),
    ),
    "unstable": (
        ObservationKind.UNSTABLE_PITCH,
        evolve(IN_TUNE, intonation_spread=figure(36, "cents")),
    ),
    "choppy": (ObservationKind.CHOPPY, evolve(IN_TUNE, articulation=figure(0.347, "ratio"))),
    "one level": (
        ObservationKind.FLAT_DYNAMICS,
        evolve(PLAIN_TAKE, dynamics_range=figure(0.6, "db")),
    ),
    "sticking out": (
        ObservationKind.STICKING_OUT,
        evolve(
            PLAIN_TAKE,
            loud=(LoudNote(at=66.0, midi=60, excess=figure(9.4, "db"), place="right at the end"),),
        ),
    ),
    "low too loud": (
        ObservationKind.LOW_VOICE_TOO_LOUD,
        evolve(PLAIN_TAKE, balance=figure(4, "db")),
    ),
}


def test_there_is_a_faulty_take_for_every_fault() -> None:
    assert {kind for kind, _ in FAULTY.values()} == set(FAULTS)


@pytest.mark.parametrize("name", FAULTY)
def test_the_first_remark_names_its_figure_and_its_place(name: str) -> None:
    kind, take = FAULTY[name]
    summary = PerformanceSummary(takes=(take,))
    (fault,) = [each for each in observe_take(take) if each.kind is kind]
    coach, remarks = Coach(), set()
    for epoch in range(1, 13):
        request = BrainRequest(
            epoch=epoch,
            kind=QuestionKind.WAKE,
            question="",
            summary=summary,
            observations=(fault,),
            history=(),
            persona=PERSONA,
        )
        clauses = coach.compose(request)
        coach.heard(" ".join(clauses))
        remarks.add(clauses[1])

    assert len(remarks) >= 3
    for remark in remarks:
        assert fault.place in remark.lower()
        assert stated_figures(remark, summary.named_figures()), remark
        assert unmeasured_figures(remark, summary.figures()) == ()
        assert len(remark.split()) <= 21, remark


@pytest.mark.parametrize("since", [0.2, 1.4, 1.6, 44.5, 104.9, 105.0, 134.9, 165.2, 3599.0])
def test_how_far_in_something_was_is_said_as_people_say_it(since: float) -> None:
    said = f"About {amounts.whole_seconds(figure(since, 's'))} in you stopped."

    assert unmeasured_figures(said, [figure(since, "s")]) == ()
    assert not any(int(number) > 105 for number in re.findall(r"\d+", said))


@pytest.mark.parametrize("level", [0.0, 0.4, 1.2, 1.6, 3.5, 9.4, 12.5])
def test_a_level_is_said_in_whole_decibels(level: float) -> None:
    said = f"It was {amounts.decibels(figure(level, 'db'))} louder."

    assert unmeasured_figures(said, [figure(level, "db")]) == ()
    assert "0 " not in said
    assert "1 decibels" not in said


def test_clean_playing_is_praised_and_given_a_next_step() -> None:
    *praise, step = Conversation(made(Fault.CLEAN)).wake()

    assert praise
    assert step in [each.text for each in NEXT_STEPS]


def test_a_slowed_ending_is_praised() -> None:
    seeds = [
        seed
        for seed in range(30)
        if any(
            each.kind is ObservationKind.SHAPED_ENDING
            for each in observe(Conversation(made(Fault.RITARDANDO, seed)).summary)
        )
    ]
    first = [Conversation(made(Fault.RITARDANDO, seed)).wake()[0] for seed in seeds]

    assert first
    assert all(said in PRAISE[ObservationKind.SHAPED_ENDING] for said in first)


def test_the_first_clause_is_short() -> None:
    for fault in Fault:
        for seed in range(6):
            assert len(Conversation(made(fault, seed), seed=seed).wake()[0].split()) <= 10


def test_it_follows_the_subject_of_the_last_turn() -> None:
    talk = Conversation(made(Fault.PAUSE))
    talk.wake()
    (where,) = talk.ask("Where was that?")
    (much,) = talk.ask("How much?")
    help_ = talk.ask("How can I fix that?")

    assert any(place in where for place in ("beginning", "half", "middle", "end"))
    assert "seconds" in much
    remedies = REMEDIES[ObservationKind.HESITATION]
    assert any(each.text.split("{")[0] in " ".join(help_) for each in remedies)


def test_it_says_again_what_was_heard() -> None:
    talk = Conversation(made(Fault.RUSH))
    said = talk.wake()
    talk.turns[-1] = Turn(question="", heard=" ".join(said[:2]))
    again = talk.ask("Can you say that again, please?")

    assert again[1:] == said[:2]


def test_a_topic_from_another_brain_is_picked_up() -> None:
    talk = Conversation(made(Fault.UNEVEN))
    talk.turns.append(Turn(question="how was it", heard="Lovely. Your rhythm limps a little."))
    help_ = " ".join(talk.ask("How do I fix that?"))

    remedies = REMEDIES[ObservationKind.UNEVEN_RHYTHM]
    assert any(each.text.split("{")[0] in help_ for each in remedies)


@pytest.mark.parametrize(
    ("before", "after", "opening"),
    [
        (Fault.UNEVEN, Fault.CLEAN, ("Yes", "It was, well done")),
        (Fault.UNEVEN, Fault.UNEVEN, ("It was about the same", "Not much", "I heard about")),
    ],
)
def test_it_compares_takes(before: Fault, after: Fault, opening: tuple[str, ...]) -> None:
    talk = Conversation(compared(before, 3))
    talk.wake()
    talk.play(compared(after, 3))
    said = talk.ask("Was it better this time?")

    assert said[0].startswith(opening)


def test_one_take_cannot_be_compared() -> None:
    talk = Conversation(made(Fault.UNEVEN))
    talk.wake()

    assert " ".join(talk.ask("was it better")) in SAYINGS["no_take_before"]


def test_it_says_when_it_has_not_heard_enough() -> None:
    talk = Conversation()

    assert " ".join(talk.wake()) in SAYINGS["nothing_heard"]
    for k in range(4):
        talk.accumulator.add(PerformedNote(onset=1 + 0.4 * k, duration=0.3, midi=60 + k))

    assert " ".join(talk.wake()) in SAYINGS["too_little"]


def test_cents_are_said_only_when_asked_how_much() -> None:
    talk = Conversation(made(Fault.SHARP))
    first = " ".join(talk.wake())
    (much,) = talk.ask("How much?")

    assert "cents" not in first
    assert "of a tone" in first
    assert "cents" in much


def test_the_tuning_of_a_piano_is_neither_praised_nor_blamed() -> None:
    talk = Conversation()
    for made_note in made(Fault.CLEAN).events:
        if isinstance(made_note, PerformedNote):
            talk.accumulator.add(evolve(made_note, deviation_cents=24.0 + 2 * (made_note.midi % 2)))
    assert talk.summary.takes[0].intonation is not None
    talk.wake()
    for question in ("was I in tune", "how was my intonation", "Was my A in tune?"):
        assert " ".join(talk.ask(question)) in SAYINGS["no_pitch_here"]


def test_what_needs_the_printed_music_is_not_claimed() -> None:
    talk = Conversation(made(Fault.CLEAN))
    talk.wake()

    assert " ".join(talk.ask("which bar was that in")) in SAYINGS["needs_the_music"]
    assert " ".join(talk.ask("how is my fingering")) in SAYINGS["needs_eyes"]


def test_how_fast_it_was_is_said_with_the_other_beat_where_there_is_doubt() -> None:
    """Crotchets and minims at 150 may as well be quavers and crotchets at 75."""
    steady = make_performance(4, Fault.CLEAN, piece=MARY, tempo_bpm=150, detector=NO_BEATS)
    talk = Conversation(steady)
    take = talk.summary.takes[-1]
    assert take.tempo_bpm is not None
    assert take.alternative_bpm is not None
    (clause,) = talk.ask("How fast was it?")
    assert f"{take.tempo_bpm.value:.0f}" in clause
    assert f"{take.alternative_bpm.value:.0f}" in clause
    assert unmeasured_figures(clause, talk.summary.figures()) == ()
    slower = take.alternative_bpm.value < take.tempo_bpm.value
    assert ("longer" if slower else "shorter") in clause
    assert talk.ask("How can I fix that?")

    sure = Conversation(made(Fault.UNEVEN))
    assert sure.summary.takes[-1].alternative_bpm is None
    assert "er beats" not in " ".join(sure.ask("How fast was it?"))


def test_no_figure_is_said_that_was_not_measured() -> None:
    questions = [*QUESTIONS, "Was my A in tune?", "What do you mean by legato?", "play it faster?"]
    rng = random.Random(1)
    for number in range(72):
        fault = list(Fault)[number % len(Fault)]
        takes = [make_performance(number, fault)]
        if number % 2:
            takes.append(make_performance(number + 1, rng.choice(list(Fault))))
        talk = Conversation(*takes, seed=number)
        figures = talk.summary.figures()
        for question in ("", *rng.sample(questions, 10)):
            said = " ".join(talk.ask(question) if question else talk.wake())

            assert unmeasured_figures(said, figures) == (), (question, said)
            assert not set(said) & set("#()*_{}[]\u266f"), said


def test_no_wording_twice_running() -> None:
    for fault in (Fault.CLEAN, Fault.RUSH, Fault.SHARP):
        talk = Conversation(made(fault))
        for question in (
            "",
            "How can I fix that?",
            "what about my tempo",
            "was anything good",
            "why",
            "Why does it sound so choppy?",
            "What is legato?",
            "What do you mean by cents?",
        ):
            said = [talk.wake(question) for _ in range(12)]

            for one, other in pairwise(said):
                assert not set(one) & set(other), question


def test_reasons_and_meanings_have_several_wordings_without_figures() -> None:
    assert set(REASONS) == {kind for kind in ObservationKind if not kind.is_praise}
    for wordings in (*REASONS.values(), *MEANINGS.values()):
        assert len(set(wordings)) == 3
        for each in wordings:
            assert unmeasured_figures(each, ()) == ()
            assert each.endswith(".")
            assert len(each.split()) <= 16


@pytest.mark.parametrize("fault", [Fault.RUSH, Fault.CLEAN])
def test_what_is_prepared_in_vain_leaves_no_trace(fault: Fault) -> None:
    one, other = Conversation(made(fault)), Conversation(made(fault))
    for question in ("", "what else", "", "how can I fix that", "what else", "what else"):
        kind = QuestionKind.FOLLOW_UP if question else QuestionKind.WAKE
        for vain in ("", question, "what else", "what about my tempo", "was anything good"):
            other.prepare(vain, QuestionKind.WAKE)
            other.prepare(vain)
            other.coach.heard("")
        assert other.prepare(question, kind) == other.prepare(question, kind)
        assert one.ask(question, kind) == other.ask(question, kind)


def test_a_wording_is_used_once_it_was_heard_even_if_the_rest_was_not() -> None:
    talk = Conversation(made(Fault.RUSH))
    for _ in range(12):
        praise, remark, _ = talk.prepare("", QuestionKind.WAKE)
        talk.coach.heard(f"{praise} {' '.join(remark.split()[:4])}")  # they played on
        next_praise, next_remark, _ = talk.prepare("", QuestionKind.WAKE)

        assert praise != next_praise
        assert remark != next_remark


def test_after_a_reset_the_next_student_has_been_told_nothing() -> None:
    talk = Conversation(made(Fault.RUSH))
    talk.wake()
    talk.turns.clear()
    assert "nothing else" in talk.prepare("What else?")[0]
    talk.coach.forget()

    assert "sped up" in " ".join(talk.prepare("What else?"))


def test_a_fault_that_was_not_heard_is_still_to_be_told() -> None:
    talk = Conversation(made(Fault.RUSH))
    praise, remark, _ = talk.prepare("", QuestionKind.WAKE)
    talk.hear("", praise)
    after_praise = " ".join(talk.prepare("what else"))
    talk.hear("", f"{praise} {remark}")
    after_remark = " ".join(talk.prepare("what else"))

    assert any(words in after_praise for words in EXPECTED_WORDS[Fault.RUSH])
    assert not any(words in after_remark for words in EXPECTED_WORDS[Fault.RUSH])


def test_what_another_brain_said_changes_nothing() -> None:
    talk = Conversation(made(Fault.RUSH))
    before = talk.prepare("", QuestionKind.WAKE)
    talk.coach.heard("Lovely. Your rhythm limps a little.")

    assert talk.prepare("", QuestionKind.WAKE) == before


def test_it_can_be_told_what_was_heard() -> None:
    assert isinstance(Coach(), Remembers)


def test_there_are_more_than_thirty_pieces_of_advice() -> None:
    remedies = [each for kind in REMEDIES.values() for each in kind] + list(NEXT_STEPS)

    assert len({each.name for each in remedies}) == len(remedies) >= 30
    assert len({each.text for each in remedies}) == len(remedies)


def test_every_observation_can_be_said_in_several_ways() -> None:
    for kind in ObservationKind:
        assert len((PRAISE if kind.is_praise else FAULTS)[kind]) >= 3
        if not kind.is_praise:
            assert len(REMEDIES[kind]) >= 3
            # some remedy can always be said, whatever was measured
            assert kind is ObservationKind.NOTE_OUT_OF_TUNE or any(
                "{" not in each.text for each in REMEDIES[kind]
            )


@pytest.mark.anyio
async def test_a_reply_streams_clause_by_clause() -> None:
    talk = Conversation(made(Fault.RUSH))
    request = BrainRequest(
        epoch=1,
        kind=QuestionKind.WAKE,
        question="",
        summary=talk.summary,
        observations=observe(talk.summary),
        history=(),
        persona=PERSONA,
    )
    clauses = [clause async for clause in talk.coach.reply(request)]

    assert len(clauses) == 3
