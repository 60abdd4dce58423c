"""The console in Chromium: what it shows of a lesson, and what it lets one do."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("playwright")

from fakes.service import PATIENT, Caller, calling
from fakes.tabs import CHROMIUM, PHONE, Script, Tab, browser, come_in, open_tab
from playwright.async_api import Route

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
]
slow = pytest.mark.slow
HERE = Path(__file__).parent
ROOT = HERE.parents[1]

TEXT = "The tempo crept up, from 96 to 115 beats a minute. Tap your foot."
LATENCY = {
    "hearing": 0.11,
    "turn": 0.2,
    "brain": 0.02,
    "voice": 0.13,
    "face": None,
    "playout": None,
    "total": 0.46,
}


def fact(value: float, start: float, end: float) -> dict[str, object]:
    return {"value": value, "unit": "bpm", "confidence": 0.8, "start": start, "end": end}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    path = tmp_path / "lesson.events.jsonl"
    path.touch()
    monkeypatch.setenv("FAKE_LOG", str(path))
    one = Script(path)
    one.begin()
    return one


@asynccontextmanager
async def watching(**options: object) -> AsyncGenerator[tuple[Caller, Tab, str]]:
    """A scripted lesson, and a tab that shows it."""
    async with calling() as caller, browser() as one:
        session = await caller.start("script")
        tab = await open_tab(one, **options)
        await come_in(tab, caller)
        yield caller, tab, session


def play(script: Script, notes: int = 12) -> None:
    script.tell("floor", later=0.5, label="playing", since=script.t)
    script.tell("take_started", take=1, start=script.t)
    for number in range(notes):
        script.tell("beat", at=script.t, confidence=0.9)
        script.note(60 + number % 12, (number - 6) * 8)
    script.tell("take_ended", later=0.5, take=1, start=1.0, end=script.t, notes=notes,
                instrument="violin")  # fmt: skip
    script.tell("floor", label="silence", since=script.t)


def ask(script: Script, epoch: int = 1) -> None:
    start = script.t
    script.tell(
        "transcript",
        later=1.0,
        utterance=epoch,
        text="T. Chur",
        start=start,
        end=script.t,
        final=False,
    )
    script.tell(
        "transcript", later=0.2, utterance=epoch, text="So, teach her comment please.",
        start=start, end=script.t, final=True,
    )  # fmt: skip
    script.tell(
        "wake", phrase="teacher, comment", score=91.0, text="So, teach her comment please.",
        start=start, end=script.t,
    )  # fmt: skip
    script.state("passive_listening", "responding", "wake_phrase_heard")
    script.tell("question", epoch=epoch, kind="wake", text="please.")
    script.tell("summary", epoch=epoch, duration=0.01, takes=1, notes=12, observations=[])
    script.tell(
        "reply_text", epoch=epoch, text=TEXT, brain="llama",
        figures=[
            {"said": "96", "at": TEXT.index("96"), "name": "tempo_start", "detail": "", "take": 1,
             "fact": fact(95.96, 1.0, 3.0)},
            {"said": "115 beats a minute", "at": TEXT.index("115"), "name": "tempo_end",
             "detail": "", "take": 1, "fact": fact(114.8, 5.0, 7.0)},
        ],
    )  # fmt: skip
    script.state("responding", "speaking", "reply_ready")
    script.tell("reply_started", epoch=epoch, latency=LATENCY)


# --- in the default suite -----------------------------------------------------


async def test_the_microphone_is_offered_until_it_is_taken(script: Script) -> None:
    pytest.importorskip("aiortc")
    answers = [503, 503, 422, 503, 503, 503, 503]
    asked = []

    async def answer(route: Route) -> None:
        asked.append(route.request.url)
        status = answers[min(len(asked), len(answers)) - 1]
        problem = {"detail": f"Said {len(asked)} times."}
        headers = {"Retry-After": "0"} if status == 503 else {}
        await route.fulfill(status=status, json=problem, headers=headers)

    devices = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    async with calling() as caller, browser(*devices) as one:
        tab = await open_tab(one)
        await tab.page.route("**/whip", answer)
        await come_in(tab, caller)
        await tab.page.click("#front-try")
        await tab.page.click("#start-go")
        await tab.until_text("#mine-state", "Said 3 times.")
        await tab.until("!document.querySelector('#connect-again').hidden")
        await tab.page.click("#connect-again")
        await tab.until_text("#mine-state", "Said 7 times.")
        await tab.until("!document.querySelector('#connect-again').hidden")
        await tab.page.click("#leave")
        await tab.until("document.querySelector('#mine').hidden")
    assert len(asked) == 7


async def test_that_the_service_was_away_is_forgotten_once_it_is_back(script: Script) -> None:
    async with calling() as caller, browser() as one:
        tab = await open_tab(one)
        await tab.page.clock.install()
        await come_in(tab, caller)
        await tab.until("document.body.dataset.view === 'front'")
        await tab.page.route("**/sessions", lambda route: route.abort())
        await tab.page.clock.run_for(9000)
        await tab.until_text("#alert", "cannot be reached")
        await tab.page.unroute("**/sessions")
        await tab.page.clock.run_for(9000)
        await tab.until("document.querySelector('#alert').hidden")


async def test_a_lesson_is_shown_as_it_happens(script: Script) -> None:
    async with watching() as (caller, tab, _):
        assert "locked" != await tab.page.get_attribute("body", "data-view")
        assert "passive_listening" == await tab.page.get_attribute("#chart .lit", "data-state")
        blank = await tab.page.evaluate("document.querySelector('#score').toDataURL()")
        play(script)
        await tab.until_there_are(1, ".take")
        await tab.until_text("#score-now", "12 notes")
        assert blank != await tab.page.evaluate("document.querySelector('#score').toDataURL()")

        ask(script)
        await tab.until("document.querySelector('#chart .lit')?.dataset.state === 'speaking'")
        assert "teach her comment" == await tab.text(".utterance mark")
        assert "Mary" == await tab.text("#floor-text")
        assert "0.46 s" == await tab.text(".latency strong")
        await tab.page.hover(".figure >> nth=1")
        told = await tab.text("#fact")
        assert "114.8 beats a minute" in told and "take 1, 0:05 to 0:07" in told
        path = await tab.page.eval_on_selector_all(
            "#path li span", "all => all.map(e => e.textContent)"
        )
        assert path == ["Speaking", "Responding"]

        assert tab.complaints == []
        assert tab.hosts == {caller.service.address.removeprefix("http://")}


# --- the rest -----------------------------------------------------------------


@slow
async def test_the_link_works_once(script: Script) -> None:
    async with calling() as caller, browser() as one:
        link = f"{caller.service.address}/#enter={caller.service.visits.invite()}"
        first, second = await open_tab(one), await open_tab(one)
        await first.page.goto(link)
        await first.until("document.body.dataset.view === 'front'")
        assert "enter" not in first.page.url
        cookies = await first.page.context.cookies()
        assert [(c["httpOnly"], c["sameSite"]) for c in cookies] == [(True, "Strict")]
        assert "" == await first.page.evaluate("document.cookie")
        await first.page.reload()
        await first.until("document.body.dataset.view === 'front'")

        await second.page.goto(link)
        await second.until("document.body.dataset.view === 'locked'")
        assert "maestra console" in await second.text("#alert")
        await second.page.fill("#code", f"http://x/#enter={caller.service.visits.invite()}")
        await second.page.click("#enter button")
        await second.until("document.body.dataset.view === 'front'")


@slow
async def test_words_are_shown_before_they_are_final(script: Script) -> None:
    async with watching() as (_, tab, _session):
        script.tell(
            "transcript", later=1, utterance=1, text="How can", start=0.2, end=1, final=False
        )
        await tab.until_text(".interim", "How can")
        script.tell(
            "transcript",
            later=1,
            utterance=1,
            text="How can I fix that?",
            start=0.2,
            end=2,
            final=True,
        )
        await tab.until_text(".said", "How can I fix that?")
        assert 0 == await tab.page.locator(".interim").count()
        assert 1 == await tab.page.locator(".entry").count()
        assert "You: How can I fix that?" == await tab.text("#say-transcript")
        assert 0 == await tab.page.locator("mark").count()


@slow
async def test_of_an_interrupted_answer_the_heard_part_is_told_apart(script: Script) -> None:
    play(script)
    ask(script)
    script.tell(
        "reply_stopped", later=2, epoch=1, cause="music", heard_text=TEXT[:19], silence_at=script.t
    )
    script.state("speaking", "passive_listening", "music_started")
    async with watching() as (_, tab, _session):
        await tab.until("document.querySelector('.unheard')")
        whole = await tab.page.eval_on_selector(".reply .said", "e => e.textContent")
        assert whole == TEXT.replace(TEXT[19:], f"not heard: {TEXT[19:]}")
        assert "You played; she stopped" in await tab.text(".stopped")


@slow
async def test_a_figure_is_explained_to_the_keyboard_too(script: Script) -> None:
    play(script)
    ask(script)
    async with watching() as (_, tab, _session):
        await tab.until_there_are(2, ".figure")
        before = await tab.page.evaluate("document.querySelector('#score').toDataURL()")
        await tab.page.focus(".figure >> nth=0")
        assert "Tempo start" in await tab.text("#fact") or "tempo start" in await tab.text("#fact")
        described = await tab.page.get_attribute(".figure >> nth=0", "aria-describedby")
        assert described == "fact"
        await tab.page.wait_for_timeout(300)
        assert before != await tab.page.evaluate("document.querySelector('#score').toDataURL()")
        await tab.page.keyboard.press("Escape")
        assert not await tab.page.is_visible("#fact")


@slow
async def test_controls_call_the_service_and_show_what_is_in_force(script: Script) -> None:
    async with watching() as (caller, tab, session):
        page = tab.page
        await tab.until("document.querySelector('#phrases').value === 'teacher, comment'")
        await page.fill("#phrases", "teacher, comment\nfeedback")
        await page.check("[name=strictness][value=high]", force=True)
        await page.fill("#window-seconds", "15")
        await page.click("#apply")
        await tab.until_text("#settings-word", "In force")
        word = await tab.text("#settings-word")
        assert "“feedback”" in word and "high" in word and "15 s" in word
        answer = await caller.post("config", {"session_id": session})
        effective = answer.json()["config"]
        assert effective["wake_phrases"] == ["teacher, comment", "feedback"]
        assert (effective["strictness"], effective["window"]) == ("high", 15)

        await page.fill("#window-seconds", "0.01")
        await page.evaluate("document.querySelector('#settings').noValidate = true")
        await page.click("#apply")
        await tab.until("document.querySelector('#settings-word').classList.contains('wrong')")
        assert "window" in (await tab.text("#settings-word")).lower()

        await page.check("#reset-performance")
        await page.click("#reset")
        await tab.until_text("#acts-word", "2 turns and the")

        await page.click("#stop")
        await page.keyboard.press("Escape")
        assert (await caller.http.get(f"/session/{session}")).json()["state"] == "running"
        await page.click("#stop")
        await page.click("#sure-yes")
        await tab.until_text("#link", "ended")
        assert (await caller.over(session))["ended"]["cause"] == "stopped"
        await tab.until("document.querySelector('#stop').disabled")


@slow
async def test_a_lesson_on_streams_is_begun_and_a_refusal_is_told(script: Script) -> None:
    async with calling() as caller, browser() as one:
        tab = await open_tab(one)
        await come_in(tab, caller)
        await tab.page.click("#front-streams")
        await tab.page.fill("#ingest", "rtmp://elsewhere.example/live/script")
        await tab.page.fill("#publish", "rtmp://localhost/live/teacher")
        await tab.page.click("#start-go")
        await tab.until("document.querySelector('#start-word').classList.contains('wrong')")
        assert "elsewhere.example" in await tab.text("#start-word")
        await tab.page.fill("#ingest", "rtmp://localhost/live/script")
        await tab.page.click("#start-go")
        await tab.until("document.body.dataset.view === 'lesson'")
        assert len(caller.service.sessions.present()) == 1


@slow
async def test_several_lessons_are_chosen_from(script: Script) -> None:
    async with watching() as (caller, tab, first):
        second = await caller.start("lesson")
        await tab.until("!document.querySelector('#picker').hidden", within=12)
        assert await tab.page.input_value("#sessions") == first
        await tab.page.select_option("#sessions", second)
        await tab.until(f"document.querySelector('#sessions').value === '{second}'")
        assert 0 == await tab.page.locator(".backends li").count()


@slow
async def test_a_broken_line_is_taken_up_where_it_was(script: Script) -> None:
    async with watching() as (caller, tab, session):
        play(script)
        await tab.until_text("#score-now", "12 notes")
        await tab.page.context.set_offline(True)
        lesson = caller.service.sessions.get(session)
        await tab.page.evaluate("dispatchEvent(new Event('offline'))")
        # The line that is open is not cut by the browser's pretence: the service does it.
        await cut(caller)
        await tab.until("document.querySelector('#link').dataset.link === 'broken'", within=12)
        play(script, notes=5)
        await tab.page.context.set_offline(False)
        await tab.until("document.querySelector('#link').dataset.link === 'open'", within=12)
        await tab.until_text("#score-now", "17 notes")
        await anyio.sleep(0.3)
        assert "17 notes" in await tab.text("#score-now")
        assert lesson.events.last >= script.count


async def cut(caller: Caller) -> None:
    """Close every connection to the service, as a network does that goes away."""
    import gc

    from maestra.app.service.connections import HttpConnection

    for one in gc.get_objects():
        # Not isinstance(): that asks each object for its class, and some of a library's warn then.
        if issubclass(type(one), HttpConnection) and not one.transport.is_closing():
            one.transport.abort()


@slow
async def test_failures_are_told_and_who_stands_in(script: Script) -> None:
    async with watching() as (_, tab, _session):
        script.tell("slice", fps=22.1, held=2, underruns=1, late=3, queued=0.2, av_offset=-0.012)
        script.tell(
            "adapter_failed", port="brain", adapter="llama", error="BrainError", text="no room"
        )
        switched: dict[str, Any] = {"from": "llama", "to": "coach"}
        script.tell("adapter_switched", port="brain", **switched)
        script.tell(
            "adapter_failed",
            port="senses.asr", adapter="faster-whisper", error="SensesError", text="no model",
        )  # fmt: skip
        heard: dict[str, Any] = {"from": "faster-whisper", "to": "deepgram"}
        script.tell("adapter_switched", port="senses.asr", **heard)
        script.tell("connection_restored", port="publish", after=2.5)
        script.tell("warning", source="ingest", text="<b>odd</b> sound")
        await tab.until_text("#incident-count", "6")
        await tab.until_there_are(3, ".backends li")
        ear, brain = [await tab.text(f".backends li:nth-child({number})") for number in (1, 2)]
        for row, port, name in ((ear, "asr", "deepgram"), (brain, "brain", "coach")):
            assert port in row and "senses" not in row and name in row
            assert "stands in \u00b7 failed 1\u00d7" in row
        await tab.page.click("#incidents-box summary")
        told = await tab.text("#incidents")
        assert "no room" in told and "<b>odd</b> sound" in told
        assert "22.1" == await tab.text("#fps-now")
        assert "\u221212 ms" in await tab.text("#counts")
        assert tab.complaints == []


@slow
async def test_what_was_played_before_a_reset_counts_no_more(script: Script) -> None:
    async with watching() as (_, tab, _session):
        play(script)
        script.tell("take_started", later=1.0, take=2, start=script.t)
        script.note(60)
        await tab.until_text("#score-now", "13 notes")
        await tab.until_text("#score-now", "beats a minute")

        script.tell("context_reset", later=0.5, turns=0, performance=False)
        await tab.until_text(".remark", "What was said is forgotten")
        assert "13 notes" in await tab.text("#score-now")

        before = script.t
        script.tell("beat", at=before, confidence=0.9)
        script.tell("context_reset", later=0.5, turns=0, performance=True)
        await tab.until_text("#score-now", "No notes since")
        assert [
            "Take 1 0:06 long, 12 notes, violin, before the reset",
            "Take 2 0:02 long, before the reset",
        ] == await tab.page.eval_on_selector_all(".take-link", "all => all.map(e => e.textContent)")

        script.note(62, later=0.5)
        belated: dict[str, Any] = {"onset": before, "offset": script.t, "midi": 60, "f0_hz": None}
        script.tell("note", **belated, deviation_cents=None, loudness_db=-18.0, confidence=0.9)
        script.tell("beat", at=script.t, confidence=0.9)
        script.tell("take_started", take=1, start=script.t)
        await tab.until_there_are(3, ".take-link")
        await tab.until_text("#score-now", "1 notes · take 1")
        assert "beats" not in await tab.text("#score-now")
        assert "you play" in await tab.text("#talk > li:last-child .take-link")
        assert tab.complaints == []


@slow
async def test_without_a_microphone_trying_it_says_what_to_do(script: Script) -> None:
    async with calling() as caller, browser() as one:
        tab = await open_tab(one)
        await come_in(tab, caller)
        await tab.page.click("#front-try")
        await tab.page.click("#start-go")
        await tab.until("document.querySelector('#start-word').classList.contains('wrong')")
        assert "microphone" in await tab.text("#start-word")
        assert caller.service.sessions.present() == ()


# --- for everybody ------------------------------------------------------------


@slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_can_be_reached_named_and_read(script: Script, scheme: str) -> None:
    play(script)
    ask(script)
    async with watching(color_scheme=scheme) as (_, tab, _session):
        await tab.until_there_are(2, ".figure")
        faults = await tab.page.evaluate((HERE / "audit.js").read_text(encoding="utf-8"))
        assert faults == []
        # By the keyboard alone: the first stops, in their order.
        order = []
        for _ in range(6):
            await tab.page.keyboard.press("Tab")
            order.append(
                await tab.page.evaluate(
                    "document.activeElement.id || document.activeElement.className"
                )
            )
        assert order[:3] == ["skip", "theme", "new-lesson"]
        ring = await tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert ring == "solid"
        await tab.page.focus("#score")
        await tab.page.keyboard.press("ArrowLeft")
        assert "cents" in await tab.text("#score-words")


@slow
async def test_axe_finds_nothing(script: Script) -> None:
    source = axe()
    play(script)
    ask(script)
    for scheme in ("light", "dark"):
        async with watching(color_scheme=scheme) as (_, tab, _session):
            await tab.until_there_are(2, ".figure")
            await tab.page.evaluate(source)
            found = await tab.page.evaluate(
                "axe.run(document, { resultTypes: ['violations'] }).then(found =>"
                " found.violations.map(one => one.id + ': ' + one.nodes.map(node =>"
                " node.html.slice(0, 120) + ' ' + node.failureSummary).join(' | ')))"
            )
            assert found == []


def axe() -> str:
    """The source of axe-core, which `npm install axe-core` puts into node_modules; NODE_PATH says
    where else that is."""
    for folder in (ROOT / "node_modules", Path(os.environ.get("NODE_PATH", "/nowhere"))):
        if (path := folder / "axe-core/axe.min.js").is_file():
            return path.read_text(encoding="utf-8")
    pytest.skip("npm install axe-core")


@slow
async def test_on_a_phone_nothing_is_cut_off(script: Script) -> None:
    play(script)
    ask(script)
    async with watching(**PHONE) as (_, tab, _session):
        await tab.until_there_are(2, ".figure")
        wide = await tab.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1] == 390
        outside = await tab.page.evaluate(
            "[...document.querySelectorAll('main *')].filter(e => e.checkVisibility()"
            " && !e.closest('.unseen') && e.getBoundingClientRect().right > innerWidth + 1)"
            ".map(e => e.outerHTML.slice(0, 80))"
        )
        assert outside == []
        await tab.page.tap(".figure >> nth=0")
        assert "96 beats a minute" in await tab.text("#fact")


@slow
async def test_colours_can_be_chosen_and_are_kept(script: Script) -> None:
    async with watching(color_scheme="dark") as (_, tab, _session):
        page = tab.page
        paper = "getComputedStyle(document.documentElement).backgroundColor"
        dark = await page.evaluate(paper)
        await page.click("#theme")
        light = await page.evaluate(paper)
        assert light != dark
        await page.reload()
        await tab.until("document.body.dataset.view === 'lesson'")
        assert light == await page.evaluate(paper)


# --- an hour ------------------------------------------------------------------

HOUR = 3600


def an_hour(script: Script) -> None:
    """Some 40 000 records, as a lively hour leaves them."""
    lines = []

    def tell(t: float, kind: str, /, **fields: object) -> None:
        lines.append(json.dumps({"t": round(t, 3), "wall": t, "type": kind, **fields}))

    utterance = epoch = take = 0
    for second in range(1, HOUR):
        tell(second, "slice", fps=25.0, held=0, underruns=0, late=0, queued=0.2, av_offset=0.001)
        minute = second % 60
        if minute == 1:
            take += 1
            tell(second, "floor", label="playing", since=second)
            tell(second, "take_started", take=take, start=second)
        if 1 <= minute < 46:
            for step in range(11):
                at = second + step / 11
                midi = 60 + (second * 7 + step * 5) % 24
                tell(
                    at, "note", onset=at, offset=at + 0.1, midi=midi, f0_hz=261.6,
                    deviation_cents=(second * 13 + step * 29) % 70 - 35, loudness_db=-30 + step,
                    confidence=0.8,
                )  # fmt: skip
            for half in (0.0, 0.5):
                tell(second + half, "beat", at=second + half, confidence=0.9)
        if minute == 46:
            tell(second, "take_ended", take=take, start=second - 45, end=second, notes=495)
            tell(second, "floor", label="silence", since=second)
        if minute == 48:
            utterance, epoch = utterance + 1, epoch + 1
            text = "Teacher, comment, how was that?"
            for final in (False, True):
                tell(
                    second,
                    "transcript",
                    utterance=utterance,
                    text=text,
                    start=second - 1,
                    end=second,
                    final=final,
                )
            tell(
                second,
                "wake",
                phrase="teacher, comment",
                score=99.0,
                text=text,
                start=second - 1,
                end=second,
            )
            for before, after in (("passive_listening", "responding"), ("responding", "speaking")):
                tell(second, "state", **{"from": before, "to": after}, cause="wake_phrase_heard")
            tell(second, "question", epoch=epoch, kind="wake", text="how was that?")
            tell(second, "reply_text", epoch=epoch, text=TEXT, brain="llama", figures=[])
            tell(second, "reply_started", epoch=epoch, latency=LATENCY)
        if minute == 56:
            tell(
                second,
                "reply_stopped",
                epoch=epoch,
                cause="finished",
                heard_text=TEXT,
                silence_at=second,
            )
            tell(
                second,
                "state",
                **{"from": "speaking", "to": "passive_listening"},
                cause="window_expired",
            )
    with script.path.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    script.t = HOUR
    script.count += len(lines)


_FRAMES = """(seconds) => new Promise((done) => {
  const times = [];
  const began = performance.now();
  const step = (at) => {
    times.push(at);
    if (at - began < seconds * 1000) return requestAnimationFrame(step);
    const gaps = times.slice(1).map((t, i) => t - times[i]).sort((a, b) => a - b);
    const of = (share) => Math.round(10 * gaps[Math.floor(share * (gaps.length - 1))]) / 10;
    const fps = Math.round(10000 * gaps.length / (times.at(-1) - times[0])) / 10;
    done({ fps, p50_ms: of(0.5), p95_ms: of(0.95), longest_ms: of(1) });
  };
  requestAnimationFrame(step);
})"""
"""How often the page draws, and how long its frames are, for so many seconds."""


@slow
@pytest.mark.timeout(300)
async def test_an_hours_lesson_stays_smooth(
    script: Script, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    monkeypatch.setattr("maestra.app.service.lesson.Events.__init__.__defaults__", (60_000,))
    an_hour(script)
    async with (
        calling(patience=evolve(PATIENT, answer=30.0)) as caller,
        browser("--enable-precise-memory-info", "--js-flags=--expose-gc") as one,
    ):
        await caller.start("script")
        tab = await open_tab(one, viewport={"width": 1440, "height": 1000})
        await come_in(tab, caller)
        await tab.until(
            "/^59:5|^1:00/.test(document.querySelector('#elapsed').textContent)", within=60
        )
        page = tab.page
        nodes = await page.evaluate("document.querySelectorAll('*').length")
        heap = "(gc(), performance.memory.usedJSHeapSize)"
        before = await page.evaluate(heap)

        async def go_on() -> None:
            for number in range(110):
                script.note(60 + number % 12, number % 40 - 20, later=0.1)
                script.tell("beat", at=script.t, confidence=0.9)
                await anyio.sleep(0.1)

        figures = {}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(go_on)
            figures["live"] = await page.evaluate(_FRAMES, 5)
            await page.focus("#overview")
            tasks.start_soon(_scroll, tab)
            figures["scrolling"] = await page.evaluate(_FRAMES, 3)
            for _ in range(12):
                await page.keyboard.press("-")
            assert "10 min" == await tab.text("#zoom")
            figures["ten_minutes"] = await page.evaluate(_FRAMES, 3)
        after = await page.evaluate(heap)
        grown = await page.evaluate("document.querySelectorAll('*').length") - nodes
        print(
            json.dumps(
                {
                    "records": script.count,
                    **figures,
                    "heap_mb": round(after / 2**20, 1),
                    "heap_growth_mb": round((after - before) / 2**20, 2),
                    "elements": nodes,
                }
            )
        )
        for name, value in figures.items():
            record_property(name, value)
        assert all(figure["fps"] >= 50 for figure in figures.values()), figures
        assert nodes < 3000 and grown < 300
        assert after < 120 * 2**20 and after - before < 10 * 2**20
        assert tab.complaints == []


async def _scroll(tab: Tab) -> None:
    for _ in range(60):
        await tab.page.keyboard.press("ArrowLeft")
        await anyio.sleep(0.04)
