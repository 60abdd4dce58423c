"""The coach turns observations into short, kind, specific advice.

It says something true and good first, then the one thing that matters most with its figure and its
place, then one concrete exercise; it understands the follow-ups that students ask. Every number it
says is read from a figure of the summary. It needs no language model and fails for no reason, so it
is every other brain's fallback.
"""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from string import Formatter

from attrs import evolve, field, frozen

from maestra.core.conversation.commands import QuestionKind
from maestra.core.performance.figure import Figure
from maestra.core.performance.observations import (
    ENOUGH_NOTES,
    Observation,
    ObservationKind,
    observe_take,
)
from maestra.core.performance.summary import PerformanceSummary, TakeSummary
from maestra.ports.brain import BrainRequest

from . import amounts
from .intents import Ask, Question, Topic, topic_of_text, understand
from .tables import (
    BESIDE_THE_BEAT,
    DIFFERING,
    FAULTS,
    MEANINGS,
    NEXT_STEPS,
    PLAIN_PRAISE,
    PRAISE,
    REASONS,
    REMEDIES,
    SAYINGS,
    STATEMENTS,
    Remedy,
)

__all__ = ["Coach"]

_REMEMBERED = 12
"""Heard replies that count as told."""

_CANDIDATES = 64
"""Answers that are kept until one of them is heard."""

_ENDINGS = " .,;:!?"
_OPENINGS = frozenset({"praise", "lead", "good", "help", "practise", "why", "meaning", "repeat"})
"""Slots of the clauses that only open an answer."""

_Say = Callable[[Figure], str]


@frozen
class _Wording:
    """One of several wordings, as it was chosen for ``slot`` and as it is said."""

    slot: str
    choice: str
    said: str


@frozen(kw_only=True)
class _Said:
    """A reply, or the part of it that was heard, and what it was about."""

    text: str
    subject: Observation | None = None
    topic: Topic | None = None
    take: int | None = None
    wordings: tuple[_Wording, ...] = ()

    def heard(self, part: str) -> _Said:
        """The same, had only ``part``, its beginning, been said: a subject whose fault was not
        named is none."""
        end = len(part)
        wordings = tuple(each for each in self.wordings if self.text.find(each.said) < end)
        subject = self.subject
        if subject is not None:
            slot = _slot_of(subject)
            if any(each.slot == slot for each in self.wordings if each not in wordings):
                subject = None
        return evolve(self, text=part, subject=subject, wordings=wordings)


@frozen(kw_only=True)
class _Answer:
    clauses: tuple[str, ...]
    subject: Observation | None = None
    topic: Topic | None = None
    take: int | None = None


@frozen(kw_only=True)
class _Scene:
    """What an answer is made from."""

    summary: PerformanceSummary
    take: TakeSummary | None
    before: TakeSummary | None
    faults: tuple[Observation, ...] = field(factory=tuple)
    praise: tuple[Observation, ...] = field(factory=tuple)


class Coach:
    """A brain of rules and tables. One for each session: it remembers what was heard of it.

    The same request gets the same answer until something more was heard, so that an answer that was
    prepared in vain leaves no trace and a prepared one can be made again. Implements ``Remembers``.

    :param seed: decides which of several wordings come first.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._last: dict[str, str] = {}  # by slot: the wording that was heard last
        self._told: deque[_Said] = deque(maxlen=_REMEMBERED)
        self._turn = 0  # how many replies were heard
        self._candidates: dict[str, _Said] = {}  # by their text, the newest last
        self._wordings: list[_Wording] = []  # of the answer that is being composed

    async def reply(self, request: BrainRequest) -> AsyncIterator[str]:
        """Answer sentence by sentence; the first one is short."""
        for clause in self.compose(request):
            yield clause

    def compose(self, request: BrainRequest) -> tuple[str, ...]:
        """The whole answer, one sentence an item; of one that another brain began, the rest (which
        may be nothing)."""
        self._wordings = []
        scene = _scene(request)
        question = understand(request.question)
        last = self._last_said(request)
        answer = self._answer(request, question, scene, last)
        if request.said:
            answer = evolve(answer, clauses=self._going_on(request.said, answer.clauses))
        text = " ".join(part for part in (request.said, *answer.clauses) if part)
        self._candidates.pop(text, None)
        self._candidates[text] = _Said(
            text=text,
            subject=answer.subject,
            topic=answer.topic,
            take=answer.take,
            wordings=tuple(self._wordings),
        )
        if len(self._candidates) > _CANDIDATES:
            del self._candidates[next(iter(self._candidates))]
        return answer.clauses

    def _going_on(self, said: str, clauses: Sequence[str]) -> tuple[str, ...]:
        """What of ``clauses`` may follow what another brain ``said``: no opening, and nothing that
        was said in other words. If that is all of it, one more thing to do."""
        sentences = _split(said)
        topics = {topic_of_text(each) for each in sentences}
        slots = {each.said: each.slot for each in self._wordings}
        left = []
        for clause in clauses:
            slot = slots.get(clause, "")
            told = slot.startswith("fault ") and topic_of_text(clause) in topics - {None}
            repeated = any(_alike(clause, each) for each in sentences)
            if slot.split(" ")[0] not in _OPENINGS and not told and not repeated:
                left.append(clause)
        if not left:
            step = self._pick("next", [each.text for each in NEXT_STEPS])
            left = [] if any(_alike(step, each) for each in sentences) else [step]
        return tuple(left)

    def forget(self) -> None:
        """Whoever is told something next has been told nothing yet; wordings still change."""
        self._told.clear()
        self._candidates.clear()

    def heard(self, text: str) -> None:
        """``text`` was heard of a reply: from now on its wordings are used and its subject told."""
        said = self._candidate(text)
        if said is None:
            return
        self._turn += 1
        self._told.append(said)
        self._last.update((each.slot, each.choice) for each in said.wordings)

    def _candidate(self, text: str) -> _Said | None:
        """The heard part of the answer that begins with ``text``: of one that ends there too rather
        than of a longer one, and rather of a newer one; ``None`` if there is none."""
        heard = " ".join(text.split())
        begins = heard.rstrip(_ENDINGS)
        if not begins:
            return None
        if (whole := self._candidates.get(heard)) is not None:
            return whole
        for said in reversed(self._candidates.values()):
            if said.text.startswith(begins):
                return said.heard(begins)
        return None

    # --- the conversation ---------------------------------------------------------

    def _last_said(self, request: BrainRequest) -> _Said | None:
        """What the last turn was about, told by what of it was heard; another brain's words are
        read for their topic."""
        for turn in reversed(request.history):
            if not turn.heard.strip():
                continue
            if (said := self._candidate(turn.heard)) is not None:
                return said
            return _Said(text=turn.heard, topic=topic_of_text(turn.heard))
        return None

    def _answer(
        self, request: BrainRequest, question: Question, scene: _Scene, last: _Said | None
    ) -> _Answer:
        ask = question.ask
        if ask is Ask.UNKNOWN and request.kind is QuestionKind.WAKE:
            ask = Ask.COMMENT
        if ask is Ask.THANKS:
            return self._saying("thanks", last)
        if ask is Ask.STOP:
            return self._saying("stop", last)
        if ask is Ask.AGAIN:
            return self._saying("again_please", last)
        if ask is Ask.REPEAT:
            return self._repeat(request, last)
        if ask is Ask.MEANING:
            meaning = self._meaning(question, request.question)
            if meaning is not None:
                return _keeping(meaning, last)
            ask = Ask.WHY if last is not None else Ask.COMMENT
        if ask is Ask.NEEDS_EYES:
            return self._saying("needs_eyes", last)
        if ask is Ask.NEEDS_THE_MUSIC:
            return self._saying("needs_the_music", last)
        if ask is Ask.ON_PURPOSE:
            return self._saying("on_purpose", last)
        if ask is Ask.UNKNOWN:
            return self._saying("not_understood", last)
        if scene.summary.is_empty:
            return self._saying("nothing_heard", last)
        if scene.take is None:
            return self._saying("too_little", last)
        return self._musical(ask, question, scene, scene.take, last)

    def _musical(
        self,
        ask: Ask,
        question: Question,
        scene: _Scene,
        take: TakeSummary,
        last: _Said | None,
    ) -> _Answer:
        subject = self._subject(question, scene, last)
        match ask:
            case Ask.TOPIC if question.topic is not None:
                return self._on_topic(question.topic, scene, take)
            case Ask.HOW_TO_FIX | Ask.PRACTISE:
                return self._help(ask, question.topic, subject, take)
            case Ask.COMPARE:
                return self._compare(question.topic, scene, take, last)
            case Ask.WHICH_NOTE:
                return self._which_note(subject, take)
            case Ask.HOW_FAST:
                return self._how_fast(take, subject)
            case Ask.HOW_MUCH:
                return self._how_much(subject, take)
            case Ask.WHERE:
                return self._where(subject, take)
            case Ask.WHY:
                return self._why(question.topic, subject, take)
            case Ask.MORE:
                return self._more(scene, take, last)
            case Ask.GOOD:
                return self._good(scene, take)
            case Ask.SLOWER | Ask.FASTER:
                return self._other_tempo(ask, scene, take)
            case Ask.RIGHT_NOTES:
                return self._right_notes(scene, take)
            case Ask.NOTE_TUNING if question.pitch_class is not None:
                return self._note_tuning(question.pitch_class, scene, take)
            case _:
                return self._comment(scene, take)

    def _subject(self, question: Question, scene: _Scene, last: _Said | None) -> Observation | None:
        """What "it" and "that" mean: the topic that is named, else what was spoken of last, else
        what matters most."""
        if question.topic is not None:
            mine = [each for each in scene.faults if each.kind in question.topic.kinds]
            return mine[0] if mine else None
        if last is not None:
            if last.subject is not None:
                return last.subject
            if last.topic is not None:
                for fault in scene.faults:
                    if fault.kind in last.topic.kinds:
                        return fault
        return scene.faults[0] if scene.faults else None

    # --- the comment ----------------------------------------------------------------

    def _comment(self, scene: _Scene, take: TakeSummary) -> _Answer:
        """Something true and good, the one thing that matters most, one exercise."""
        praise = self._praise(scene)
        if not scene.faults:
            second = [self._praise_for(each) for each in scene.praise[1:2]]
            step = self._pick("next", [each.text for each in NEXT_STEPS])
            return _Answer(clauses=(praise, *second, step), take=take.number)
        fault = scene.faults[0]
        return _Answer(
            clauses=(praise, self._fault(fault), self._remedy(fault, take)),
            subject=fault,
            take=take.number,
        )

    def _praise(self, scene: _Scene, kinds: frozenset[ObservationKind] | None = None) -> str:
        fitting = [each for each in scene.praise if kinds is None or each.kind in kinds]
        if fitting:
            return self._praise_for(fitting[0])
        return self._pick("praise", PLAIN_PRAISE)

    def _praise_for(self, praise: Observation) -> str:
        return self._pick(f"praise {praise.kind}", PRAISE[praise.kind])

    def _fault(self, fault: Observation) -> str:
        wordings: Sequence[str] = FAULTS[fault.kind]
        if fault.names.get("reason") == "differs":
            wordings = DIFFERING
        if fault.names.get("order") == "beside the beat":
            wordings = BESIDE_THE_BEAT
        return self._worded(_slot_of(fault), wordings, _words_of(fault))

    def _remedy(self, fault: Observation, take: TakeSummary) -> str:
        remedies: Sequence[Remedy] = REMEDIES[fault.kind]
        return self._worded(
            f"remedy {fault.kind}",
            [each.text for each in remedies],
            _words_of(fault) | _words_of_take(take),
        )

    def _general_remedy(self, topic: Topic, take: TakeSummary) -> str:
        """An exercise for a topic in which no fault was heard."""
        kind = _TYPICAL.get(topic)
        if kind is None:
            return self._pick("next", [each.text for each in NEXT_STEPS])
        texts = [each.text for each in REMEDIES[kind]]
        return self._worded(f"remedy {kind}", texts, _words_of_take(take))

    # --- follow-ups -----------------------------------------------------------------

    def _on_topic(self, topic: Topic, scene: _Scene, take: TakeSummary) -> _Answer:
        faults = [each for each in scene.faults if each.kind in topic.kinds]
        if faults:
            clauses = [self._fault(faults[0]), self._remedy(faults[0], take)]
            good = [each for each in scene.praise if each.kind in topic.kinds]
            if good:
                clauses.insert(0, self._praise_for(good[0]))
            else:
                clauses.insert(0, self._pick("lead", STATEMENTS["lead"]))
            return _Answer(clauses=tuple(clauses), subject=faults[0], topic=topic, take=take.number)
        good = [each for each in scene.praise if each.kind in topic.kinds]
        told = self._state(topic, take)
        if good:
            clauses = [self._praise_for(good[0]), *(told if topic is Topic.TEMPO else ())]
        elif told and topic is Topic.DYNAMICS:
            clauses = [*told, self._general_remedy(topic, take)]
        elif told and topic is Topic.ENDING:
            clauses = told
        elif told:
            clauses = [*told, self._pick("all_good", SAYINGS["all_good"])]
        elif topic is Topic.PITCH and take.note_count.value >= 8:
            clauses = [self._pick("no_pitch_here", SAYINGS["no_pitch_here"])]
        elif topic in (Topic.NOTES, Topic.STOPS):
            clauses = [self._pick("all_good", SAYINGS["all_good"])]
            if topic is Topic.NOTES:
                clauses.append(self._pick("unseen", STATEMENTS["unseen"]))
        else:
            clauses = [self._pick("too_little_for_that", SAYINGS["too_little_for_that"])]
        return _Answer(clauses=_sentences(clauses), topic=topic, take=take.number)

    def _state(self, topic: Topic, take: TakeSummary) -> list[str]:
        """The plain figures of a topic that has no fault."""
        words = _words_of_take(take)
        names = {
            Topic.TEMPO: "tempo",
            Topic.RHYTHM: "rhythm",
            Topic.DYNAMICS: f"dynamics_{take.dynamics_shape}" if take.dynamics_range else "",
            Topic.ARTICULATION: "articulation",
            Topic.BALANCE: "balance",
            Topic.ENDING: "ending",
            Topic.PITCH: "pitch",
        }
        measured = {
            Topic.TEMPO: take.tempo_bpm,
            Topic.RHYTHM: take.rhythm_raggedness,
            Topic.DYNAMICS: take.dynamics_range,
            Topic.ARTICULATION: take.articulation,
            Topic.BALANCE: take.balance,
            Topic.ENDING: take.ending_slowing,
            Topic.PITCH: take.intonation if take.fixed_pitch is False else None,
        }
        name = names.get(topic, "")
        if name not in STATEMENTS or measured.get(topic) is None:
            return []
        return [self._worded(name, STATEMENTS[name], words)]

    def _help(
        self, ask: Ask, topic: Topic | None, subject: Observation | None, take: TakeSummary
    ) -> _Answer:
        if subject is None:
            lead = self._pick("no_fault", STATEMENTS["no_fault"])
            if topic is None:
                step = self._pick("next", [each.text for each in NEXT_STEPS])
            else:
                step = self._general_remedy(topic, take)
            return _Answer(clauses=(lead, step), topic=topic, take=take.number)
        lead = self._pick("help", STATEMENTS["help"])
        first = self._remedy(subject, take)
        clauses = [lead, first]
        if ask is Ask.PRACTISE:
            clauses = [self._pick("practise", STATEMENTS["practise"]), first]
            clauses.append(self._remedy(subject, take))
        else:
            clauses.append(self._pick("check", STATEMENTS["check"]))
        return _Answer(clauses=tuple(clauses), subject=subject, take=take.number)

    def _repeat(self, request: BrainRequest, last: _Said | None) -> _Answer:
        heard = next((turn.heard for turn in reversed(request.history) if turn.heard.strip()), "")
        if not heard:
            return self._saying("nothing_said_yet", last)
        lead = self._pick("repeat", STATEMENTS["repeat"])
        return _keeping((lead, *_split(heard)), last)

    def _compare(
        self, topic: Topic | None, scene: _Scene, take: TakeSummary, last: _Said | None
    ) -> _Answer:
        before = scene.before
        if before is None:
            return self._saying("no_take_before", last)
        kinds = _compared(topic, last, scene)
        verdicts = [(kind, _verdict(kind, before, take)) for kind in kinds]
        known = [(kind, verdict) for kind, verdict in verdicts if verdict is not None]
        if not known:
            return self._saying("too_little_for_that", last)
        kind, verdict = known[0]
        words = _words_of_take(take) | {
            f"{name}_before": word for name, word in _words_of_take(before).items()
        }
        clauses = [self._pick(f"compare {verdict}", STATEMENTS[f"compare_{verdict}"])]
        detail = STATEMENTS.get(f"compare_{_FAMILY.get(kind, '')}", ())
        if usable := [each for each in detail if _fills(each, words)]:
            clauses.append(self._worded(f"compare {kind}", usable, words))
        fault = next((each for each in scene.faults if each.kind is kind), None)
        if fault is not None and verdict != "better":
            clauses.append(self._remedy(fault, take))
        elif scene.faults and fault is None:
            fault = scene.faults[0]
            clauses.append(self._fault(fault))
        return _Answer(clauses=tuple(clauses), subject=fault, topic=topic, take=take.number)

    def _which_note(self, subject: Observation | None, take: TakeSummary) -> _Answer:
        if subject is None:
            return self._plain("all_good", take)
        if "note" not in subject.names:
            return self._plain("no_single_note", take, subject)
        clause = self._worded("which note", STATEMENTS["which_note"], _words_of(subject))
        return _Answer(clauses=(clause,), subject=subject, take=take.number)

    def _how_fast(self, take: TakeSummary, subject: Observation | None) -> _Answer:
        if take.tempo_bpm is None:
            return self._plain("no_tempo", take)
        words = _words_of_take(take)
        drifted = take.tempo_drift is not None and abs(take.tempo_drift.value) >= 6
        other = take.alternative_bpm
        if drifted:
            name = "how_fast_drift"
        elif other is None:
            name = "tempo"
        else:  # nothing in the sound tells which of the two the student counts
            name = "tempo_or_slower" if other.value < take.tempo_bpm.value else "tempo_or_faster"
        clause = self._worded(name, STATEMENTS[name], words)
        return _Answer(clauses=(clause,), subject=subject, topic=Topic.TEMPO, take=take.number)

    def _how_much(self, subject: Observation | None, take: TakeSummary) -> _Answer:
        if subject is None:
            return self._plain("all_good", take)
        wordings = STATEMENTS.get(f"how_much_{_FAMILY.get(subject.kind, '')}", ())
        words = _words_of(subject)
        usable = [each for each in wordings if _fills(each, words)]
        if not usable:
            return self._plain("no_amount", take, subject)
        clause = self._worded(f"how much {subject.kind}", usable, words)
        return _Answer(clauses=(clause,), subject=subject, take=take.number)

    def _where(self, subject: Observation | None, take: TakeSummary) -> _Answer:
        if subject is None:
            return self._plain("all_good", take)
        words = _words_of(subject)
        if subject.start <= take.start + 0.5 and subject.end >= take.end - 0.5:
            return self._plain("no_place", take, subject)
        name = "where_after" if "since" in words else "where"
        clause = self._worded(name, STATEMENTS[name], words)
        return _Answer(clauses=(clause,), subject=subject, take=take.number)

    def _why(self, topic: Topic | None, subject: Observation | None, take: TakeSummary) -> _Answer:
        lead = self._pick("why", STATEMENTS["why"])
        if subject is not None and subject.kind in REASONS:
            clauses = (lead, self._reason(subject.kind), self._remedy(subject, take))
            return _Answer(clauses=clauses, subject=subject, take=take.number)
        kind = None if topic is None else _TYPICAL.get(topic)
        if topic is None or kind is None:
            return self._plain("all_good", take)
        clauses = (lead, self._reason(kind), self._general_remedy(topic, take))
        return _Answer(clauses=clauses, topic=topic, take=take.number)

    def _reason(self, kind: ObservationKind) -> str:
        return self._pick(f"reason {kind}", REASONS[kind])

    def _more(self, scene: _Scene, take: TakeSummary, last: _Said | None) -> _Answer:
        told = {
            said.subject.kind
            for said in self._told
            if said.subject and said.take == take.number and said.subject.start >= take.start
        }
        if last is not None and last.subject is not None:
            told.add(last.subject.kind)
        others = [each for each in scene.faults if each.kind not in told]
        if not others:
            step = self._pick("next", [each.text for each in NEXT_STEPS])
            lead = self._pick("nothing more", STATEMENTS["nothing_more"])
            return _Answer(clauses=(lead, step), take=take.number)
        lead = self._pick("more", STATEMENTS["more"])
        return _Answer(
            clauses=(lead, self._fault(others[0]), self._remedy(others[0], take)),
            subject=others[0],
            take=take.number,
        )

    def _good(self, scene: _Scene, take: TakeSummary) -> _Answer:
        if not scene.praise:
            return _Answer(
                clauses=(
                    self._pick("praise", PLAIN_PRAISE),
                    self._pick("good effort", STATEMENTS["good_effort"]),
                ),
                take=take.number,
            )
        lead = self._pick("good", STATEMENTS["good"])
        told = tuple(self._praise_for(each) for each in scene.praise[:2])
        return _Answer(clauses=(lead, *told), take=take.number)

    def _other_tempo(self, ask: Ask, scene: _Scene, take: TakeSummary) -> _Answer:
        words = _words_of_take(take)
        needs_time = any(each.kind in _HELPED_BY_TIME for each in scene.faults)
        if "practice" not in words:
            return self._plain("no_tempo", take)
        if ask is Ask.SLOWER:
            name = "slower_yes" if needs_time else "slower_no"
        else:
            name = "faster_no" if needs_time else "faster_yes"
        clause = self._worded(name, STATEMENTS[name], words)
        subject = scene.faults[0] if scene.faults else None
        return _Answer(
            clauses=_sentences([clause]), subject=subject, topic=Topic.TEMPO, take=take.number
        )

    def _right_notes(self, scene: _Scene, take: TakeSummary) -> _Answer:
        faults = [each for each in scene.faults if each.kind in Topic.NOTES.kinds]
        if faults:
            return self._on_topic(Topic.NOTES, scene, take)
        clauses = (
            self._pick("notes fine", STATEMENTS["notes_fine"]),
            self._pick("unseen", STATEMENTS["unseen"]),
        )
        return _Answer(clauses=clauses, topic=Topic.NOTES, take=take.number)

    def _note_tuning(self, pitch_class: int, scene: _Scene, take: TakeSummary) -> _Answer:
        if take.intonation is None or take.fixed_pitch:
            return self._plain("no_pitch_here", take)
        for each in take.pitch_classes:
            if each.pitch_class == pitch_class:
                off = abs(each.deviation.value) >= 18
                if not off and take.fixed_pitch is None:
                    return self._plain("no_pitch_here", take)
                name = "note_off" if off else "note_fine"
                words = {
                    "note": each.name,
                    "direction": "sharp" if each.deviation.value > 0 else "flat",
                    "part": amounts.part_of_a_tone(each.deviation),
                }
                clause = self._worded(name, STATEMENTS[name], words)
                return _Answer(clauses=(clause,), topic=Topic.PITCH, take=take.number)
        return self._plain("too_little_for_that", take)

    def _meaning(self, question: Question, asked: str) -> tuple[str, ...] | None:
        heard = asked.lower()
        for word, meanings in MEANINGS.items():
            if word in heard:
                lead = self._pick("meaning", STATEMENTS["meaning"])
                return (lead, self._pick(f"term {word}", meanings))
        return None

    # --- words ------------------------------------------------------------------------

    def _saying(self, name: str, last: _Said | None) -> _Answer:
        return _keeping([self._pick(name, SAYINGS[name])], last)

    def _plain(self, name: str, take: TakeSummary, subject: Observation | None = None) -> _Answer:
        clauses = _sentences([self._pick(name, SAYINGS[name])])
        return _Answer(clauses=clauses, subject=subject, take=take.number)

    def _worded(self, slot: str, templates: Sequence[str], words: Mapping[str, str]) -> str:
        """One of ``templates`` that can be filled, filled, and not the one heard last."""
        usable = [each for each in templates if _fills(each, words)]
        template = self._choose(slot, usable)
        filled = template.format_map({**words, "Place": _capital(words.get("place", ""))})
        return self._noted(slot, template, _capital(filled))

    def _pick(self, slot: str, choices: Sequence[str]) -> str:
        """One of ``choices``, never the one heard last for ``slot`` if there is another."""
        chosen = self._choose(slot, choices)
        return self._noted(slot, chosen, chosen)

    def _choose(self, slot: str, choices: Sequence[str]) -> str:
        used = [each.choice for each in self._wordings if each.slot == slot]
        fresh = [each for each in choices if each not in used] or list(choices)
        others = [each for each in fresh if each != self._last.get(slot)] or fresh
        # not one generator for the session: an answer that nobody hears must not move it on
        return random.Random(f"{self._seed} {self._turn} {slot} {len(used)}").choice(others)

    def _noted(self, slot: str, choice: str, said: str) -> str:
        self._wordings.append(_Wording(slot, choice, said))
        return said


# --- what there is to say -----------------------------------------------------------

_Kind = ObservationKind

_FAMILY: Mapping[ObservationKind, str] = {
    _Kind.RUSHING: "drift",
    _Kind.DRAGGING: "drift",
    _Kind.UNSTEADY_TEMPO: "unsteady",
    _Kind.UNEVEN_RHYTHM: "uneven",
    _Kind.HESITATION: "stops",
    _Kind.REPEATED_TRIES: "tries",
    _Kind.MISSED_NOTES: "missed",
    _Kind.WRONG_NOTES: "wrong",
    _Kind.SHARP: "tuning",
    _Kind.FLAT: "tuning",
    _Kind.NOTE_OUT_OF_TUNE: "tuning",
    _Kind.UNSTABLE_PITCH: "spread",
    _Kind.FLAT_DYNAMICS: "dynamics",
    _Kind.STICKING_OUT: "accent",
    _Kind.LOW_VOICE_TOO_LOUD: "balance",
    _Kind.CHOPPY: "articulation",
}
_HELPED_BY_TIME = frozenset(
    {
        _Kind.RUSHING,
        _Kind.UNSTEADY_TEMPO,
        _Kind.UNEVEN_RHYTHM,
        _Kind.HESITATION,
        _Kind.REPEATED_TRIES,
        _Kind.MISSED_NOTES,
        _Kind.WRONG_NOTES,
    }
)
_TOPIC_KINDS: Mapping[Topic, tuple[ObservationKind, ...]] = {
    Topic.TEMPO: (_Kind.RUSHING, _Kind.UNSTEADY_TEMPO),
    Topic.RHYTHM: (_Kind.UNEVEN_RHYTHM, _Kind.HESITATION),
    Topic.STOPS: (_Kind.HESITATION,),
    Topic.NOTES: (_Kind.WRONG_NOTES, _Kind.MISSED_NOTES),
    Topic.PITCH: (_Kind.SHARP, _Kind.UNSTABLE_PITCH),
    Topic.DYNAMICS: (_Kind.FLAT_DYNAMICS,),
    Topic.ARTICULATION: (_Kind.CHOPPY,),
    Topic.BALANCE: (_Kind.LOW_VOICE_TOO_LOUD,),
    Topic.ENDING: (),
}


_TYPICAL: Mapping[Topic, ObservationKind] = {
    Topic.TEMPO: _Kind.UNSTEADY_TEMPO,
    Topic.RHYTHM: _Kind.UNEVEN_RHYTHM,
    Topic.STOPS: _Kind.HESITATION,
    Topic.NOTES: _Kind.WRONG_NOTES,
    Topic.PITCH: _Kind.UNSTABLE_PITCH,
    Topic.DYNAMICS: _Kind.FLAT_DYNAMICS,
    Topic.ARTICULATION: _Kind.CHOPPY,
    Topic.BALANCE: _Kind.LOW_VOICE_TOO_LOUD,
}
"""The fault that each topic's general advice is for."""


def _scene(request: BrainRequest) -> _Scene:
    """The take that is asked about is the latest one that was long enough to be observed, or, if
    none was observed at all, the latest with enough notes."""
    takes = request.summary.takes
    judged = [take for take in takes if take.note_count.value >= ENOUGH_NOTES]
    judged += [
        take
        for take in takes
        if take not in judged and any(each.take == take.number for each in request.observations)
    ]
    judged.sort(key=lambda take: take.number)
    if not judged:
        return _Scene(summary=request.summary, take=None, before=None)
    take = judged[-1]
    mine = [each for each in request.observations if each.take == take.number]
    mine.sort(key=lambda each: -each.salience)
    return _Scene(
        summary=request.summary,
        take=take,
        before=judged[-2] if len(judged) > 1 else None,
        faults=tuple(each for each in mine if not each.kind.is_praise),
        praise=tuple(each for each in mine if each.kind.is_praise),
    )


def _words_of(observation: Observation) -> dict[str, str]:
    """What the templates may name of an observation."""
    facts = observation.facts
    words = dict(observation.names) | {"place": observation.place}
    _put(words, "first", facts.get("tempo_start_bpm"), amounts.beats_a_minute)
    _put(words, "last", facts.get("tempo_end_bpm"), amounts.beats_a_minute)
    _put(words, "tempo", facts.get("tempo_bpm"), amounts.beats_a_minute)
    _put(words, "practice", facts.get("practice_tempo_bpm"), amounts.beats_a_minute)
    _put(words, "gap", facts.get("gap"), amounts.seconds)
    _put(words, "gap_exact", facts.get("gap"), amounts.tenths)
    _put(words, "since", facts.get("since_start"), amounts.whole_seconds)
    _put(words, "percent", facts.get("drift"), amounts.whole)
    _put(words, "share", facts.get("long_share"), amounts.whole)
    _put(words, "ragged", facts.get("raggedness"), amounts.whole)
    _put(words, "held", facts.get("articulation"), amounts.percent_of)
    _put(words, "unsteadiness", facts.get("unsteadiness"), amounts.whole)
    _put(words, "decibels", facts.get("excess") or facts.get("balance"), amounts.decibels)
    _put(words, "range", facts.get("dynamics_range"), amounts.decibels)
    _put(words, "spread", facts.get("spread"), amounts.whole)
    _put(words, "wander", facts.get("spread"), amounts.part_of_a_tone)
    _put(words, "part", facts.get("deviation"), amounts.part_of_a_tone)
    _put(words, "cents", facts.get("deviation"), amounts.whole)
    count = facts.get("count") or facts.get("tries")
    if count is not None and count.value > 1:
        words["count"], words["times"] = amounts.whole(count), amounts.times(count)
    return words


def _words_of_take(take: TakeSummary) -> dict[str, str]:
    """What the templates may name of a take."""
    words: dict[str, str] = {}
    _put(words, "tempo", take.tempo_bpm, amounts.beats_a_minute)
    _put(words, "alternative", take.alternative_bpm, amounts.beats_a_minute)
    _put(words, "practice", take.practice_tempo_bpm, amounts.beats_a_minute)
    _put(words, "first", take.tempo_start_bpm, amounts.beats_a_minute)
    _put(words, "last", take.tempo_end_bpm, amounts.beats_a_minute)
    _put(words, "gap", _longest_gap(take), amounts.seconds)
    return words


def _put(words: dict[str, str], name: str, figure: Figure | None, say: _Say) -> None:
    if figure is not None:
        words[name] = say(figure)


def _slot_of(fault: Observation) -> str:
    """The slot of the sentence that names ``fault``."""
    return f"fault {fault.kind}"


def _fills(template: str, words: Mapping[str, str]) -> bool:
    return all(
        name is None or (name.lower() if name == "Place" else name) in words
        for _, name, _, _ in Formatter().parse(template)
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _alike(one: str, other: str) -> bool:
    """They share most of their words, small ones aside."""
    first, second = (
        {
            word
            for word in re.findall(r"[a-z0-9']+", text.lower())
            if len(word) > 3 or word.isdigit()
        }
        for text in (one, other)
    )
    return len(first & second) > 0.5 * max(1, min(len(first), len(second)))


def _split(text: str) -> tuple[str, ...]:
    """A text as the sentences it is made of."""
    return tuple(part.strip() for part in re.split(r"(?<=[.!?])\s+", text) if part.strip())


def _sentences(clauses: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for clause in clauses for part in _split(clause))


def _keeping(clauses: Sequence[str], last: _Said | None) -> _Answer:
    """An answer that leaves the subject of the conversation as it was."""
    if last is None:
        return _Answer(clauses=_sentences(clauses))
    return _Answer(
        clauses=_sentences(clauses), subject=last.subject, topic=last.topic, take=last.take
    )


# --- one take against another -------------------------------------------------------


def _compared(
    topic: Topic | None, last: _Said | None, scene: _Scene
) -> tuple[ObservationKind, ...]:
    """What to compare, the most telling first."""
    if topic is not None:
        return _TOPIC_KINDS[topic]
    kinds: list[ObservationKind] = []
    if last is not None and last.subject is not None:
        kinds.append(last.subject.kind)
    elif last is not None and last.topic is not None:
        kinds += _TOPIC_KINDS[last.topic]
    before = scene.before
    if before is not None:
        faults = [each for each in observe_take(before) if not each.kind.is_praise]
        kinds += [each.kind for each in sorted(faults, key=lambda each: -each.salience)]
    kinds += [each.kind for each in scene.faults]
    kinds += [_Kind.RUSHING, _Kind.UNEVEN_RHYTHM]
    return tuple(kinds)


def _verdict(kind: ObservationKind, before: TakeSummary, after: TakeSummary) -> str | None:
    """``better``, ``same`` or ``worse``; ``None`` if it was not measured both times."""
    then, now = _severity(kind, before), _severity(kind, after)
    if then is None or now is None:
        return None
    scale = _NOTICEABLE.get(kind, 1.0)
    if then - now > max(scale, 0.25 * then):
        return "better"
    if now - then > max(scale, 0.25 * then):
        return "worse"
    return "same"


_NOTICEABLE: Mapping[ObservationKind, float] = {
    _Kind.RUSHING: 3.0,
    _Kind.DRAGGING: 3.0,
    _Kind.UNSTEADY_TEMPO: 1.5,
    _Kind.UNEVEN_RHYTHM: 3.0,
    _Kind.HESITATION: 0.4,
    _Kind.REPEATED_TRIES: 0.5,
    _Kind.MISSED_NOTES: 0.5,
    _Kind.WRONG_NOTES: 0.5,
    _Kind.SHARP: 6.0,
    _Kind.FLAT: 6.0,
    _Kind.NOTE_OUT_OF_TUNE: 8.0,
    _Kind.UNSTABLE_PITCH: 5.0,
    _Kind.CHOPPY: 0.1,
    _Kind.FLAT_DYNAMICS: 1.5,
    _Kind.STICKING_OUT: 2.0,
    _Kind.LOW_VOICE_TOO_LOUD: 1.5,
}
"""The least difference worth a word, in the unit of :func:`_severity`."""


def _severity(kind: ObservationKind, take: TakeSummary) -> float | None:
    """How bad the fault is in a take, in its own unit; more is worse."""

    def size(figure: Figure | None, good: float = 0.0) -> float | None:
        return None if figure is None else abs(figure.value - good)

    enough = take.tempo_bpm is not None
    if take.fixed_pitch and kind in Topic.PITCH.kinds:
        return None
    match kind:
        case _Kind.RUSHING | _Kind.DRAGGING:
            return size(take.tempo_drift)
        case _Kind.UNSTEADY_TEMPO:
            return size(take.tempo_unsteadiness)
        case _Kind.UNEVEN_RHYTHM:
            return size(take.long_share, 50.0)
        case _Kind.HESITATION:
            return sum(each.gap.value for each in take.hesitations) if enough else None
        case _Kind.REPEATED_TRIES:
            return (size(take.repeated_tries) or 0.0) if enough else None
        case _Kind.MISSED_NOTES:
            return (size(take.missed_count) or 0.0) if enough else None
        case _Kind.WRONG_NOTES:
            return size(take.foreign_count) or 0.0
        case _Kind.SHARP | _Kind.FLAT:
            return size(take.intonation)
        case _Kind.NOTE_OUT_OF_TUNE:
            return max((abs(each.deviation.value) for each in take.pitch_classes), default=None)
        case _Kind.UNSTABLE_PITCH:
            return size(take.intonation_spread)
        case _Kind.CHOPPY:
            return size(take.articulation, 1.0)
        case _Kind.FLAT_DYNAMICS:
            return None if take.dynamics_range is None else -take.dynamics_range.value
        case _Kind.STICKING_OUT:
            return max((each.excess.value for each in take.loud), default=0.0)
        case _Kind.LOW_VOICE_TOO_LOUD:
            return None if take.balance is None else take.balance.value
        case _:
            return None


def _longest_gap(take: TakeSummary) -> Figure | None:
    return max((each.gap for each in take.hesitations), key=lambda gap: gap.value, default=None)
