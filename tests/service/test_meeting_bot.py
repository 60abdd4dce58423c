"""A meeting bot's place: its RTMP server is a real nginx, ffmpeg is the student's and the viewer's
machine, and what tells the service what to do is the coordinator's JSON."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("faster_whisper")
pytest.importorskip("piper")
pytest.importorskip("torch")
pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

import av
import httpx
from attrs import define, field
from fakes.bot import await_that, ffmpeg, rtmp_server, student, viewer
from fakes.service import TOKEN, Served, served
from fakes.streams import free_port

from maestra.app.experiments.soak.server import KEY, RtmpServer
from maestra.core.log import problems

pytestmark = [pytest.mark.slow, pytest.mark.models, pytest.mark.timeout(300)]

_READY = 90.0
"""Seconds for models to load on a busy machine."""

_ASKED = (34.0, 36.5)
"""Seconds of the lesson in which the student asks, without playing."""

_PLAYED_AND_ASKED = (24.0, 36.5)
"""Likewise, after having played."""

_FOLLOWS_UP = (37.5, 51.0)
"""Likewise, after a silence in which the input is opened again: it may have been waited with."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RtmpServer]:
    with rtmp_server(tmp_path / "nginx") as one:
        yield one


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, "drain=0", "voice.timeout=20", "face.timeout=20") as one:
        yield one


@define
class Teaching:
    """A session, and everything it has told."""

    http: httpx.Client
    id: str
    told: list[dict[str, Any]] = field(factory=list)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/session/{self.id}").json()
        return found

    def listen(self) -> None:
        """Take down what it tells, in a thread."""

        def take_down() -> None:
            path = f"/session/{self.id}/events"
            with (
                suppress(httpx.HTTPError),  # the service goes when the test has failed
                self.http.stream("GET", path, timeout=None) as answer,
            ):
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        self.told.append(json.loads(line[6:]))

        threading.Thread(target=take_down, daemon=True).start()

    def of(self, kind: str, /, **values: object) -> list[dict[str, Any]]:
        """The events of this kind that have these values."""
        return [
            one for one in list(self.told) if one["type"] == kind and values.items() <= one.items()
        ]


@pytest.fixture
def http(service: Served) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=service.address, headers=headers, timeout=30) as client:
        yield client


def begin(http: httpx.Client, server: RtmpServer, publish: str = "") -> Teaching:
    """The design document's call, and the session once it runs. ``publish`` is where the teacher
    goes, if not to ``server``."""
    answer = http.post(
        "/session/start",
        json={
            "rtmp_ingest_url": server.url("lesson", "student"),
            "rtmp_publish_url": publish or server.url("avatar", "teacher"),
            "persona_id": "teacher_mary_v1",
        },
    )
    assert answer.status_code == 201, answer.text
    teaching = Teaching(http, answer.json()["session_id"])
    await_that(lambda: teaching.status()["state"] != "starting", _READY)
    assert teaching.status()["state"] == "running"
    teaching.listen()
    return teaching


@define
class Film:
    """What a viewer kept. Times are the teacher's time stamps: seconds of the session."""

    pictures: list[float]
    sound: list[tuple[float, float]]
    """When, and how loud (RMS)."""
    monotonic: bool

    def loudest(self, begin: float, end: float) -> float:
        return max((loud for at, loud in self.sound if begin <= at < end), default=0.0)


def await_film(path: Path) -> None:
    """Wait until no more comes: on a busy machine the viewer is behind."""
    size = -1
    while (now := path.stat().st_size) != size:
        size = now
        time.sleep(1.0)


def film(path: Path) -> Film:
    found = Film([], [], True)
    last = {"video": -1.0, "audio": -1.0}
    with av.open(str(path)) as kept:
        for packet in kept.demux():
            if packet.dts is not None:
                at = float(packet.dts * packet.time_base)
                found.monotonic &= at > last[packet.stream.type]
                last[packet.stream.type] = at
            for frame in packet.decode():
                assert isinstance(frame, av.VideoFrame | av.AudioFrame)
                assert frame.time is not None
                if isinstance(frame, av.VideoFrame):
                    found.pictures.append(frame.time)
                else:
                    loud = float(np.sqrt(np.mean(frame.to_ndarray() ** 2)))
                    found.sound.append((frame.time, loud))
    return found


def assert_steady(pictures: list[float]) -> None:
    """25 a second, each in its place; a busy machine may lose a few. The server's stamps are whole
    milliseconds."""
    slots = np.array(pictures) * 25
    assert abs(slots - np.rint(slots)).max() < 0.04
    span = slots[-1] - slots[0] + 1
    assert len(slots) > 0.95 * span, (len(slots), span)


def says_nothing_it_should_not(service: Served, teaching: Teaching) -> None:
    assert not [complaint for one in list(teaching.told) for complaint in problems(one)]
    assert KEY not in service.log.read_text(encoding="utf-8")
    assert KEY not in json.dumps(teaching.told) + json.dumps(teaching.status())


def test_a_lesson_by_way_of_the_bots_server(
    server: RtmpServer, service: Served, http: httpx.Client, tmp_path: Path
) -> None:
    with viewer(server.url("avatar", "teacher"), tmp_path / "teacher.mkv"):
        teaching = begin(http, server)
        assert not teaching.status()["ingest"]["ok"]
        with student(server.url("lesson", "student"), *_PLAYED_AND_ASKED):
            await_that(lambda: teaching.of("reply_started"), 60)
            assert teaching.status()["ingest"]["ok"] and teaching.status()["publish"]["ok"]
            await_that(lambda: teaching.of("reply_stopped", cause="finished"))
            assert teaching.http.get(f"/session/{teaching.id}/summary").json()["summary"]["takes"]
        says_nothing_it_should_not(service, teaching)
        assert http.post("/session/stop", json={}).json()["ended"]["cause"] == "stopped"
        await_film(tmp_path / "teacher.mkv")
    seen = film(tmp_path / "teacher.mkv")
    assert seen.monotonic
    assert_steady(seen.pictures)
    (wake,), (reply,) = teaching.of("wake"), teaching.of("reply_started")
    (over,) = teaching.of("reply_stopped")
    assert wake["phrase"] == "teacher, comment"
    assert 0.02 < seen.loudest(reply["t"], reply["t"] + 1.5)
    assert 0.02 < seen.loudest(over["t"] - 3, over["t"])
    assert 0.001 > seen.loudest(0, reply["t"] - 0.1)


def test_a_lesson_that_goes_out_by_rtsp(
    server: RtmpServer, service: Served, http: httpx.Client, tmp_path: Path
) -> None:
    kept, port = tmp_path / "teacher.mkv", free_port()
    listening = ("-rtsp_flags", "listen", "-i", f"rtsp://127.0.0.1:{port}/live/teacher")
    with ffmpeg(*listening, "-c", "copy", str(kept)):
        teaching = begin(http, server, f"rtsp://localhost:{port}/live/teacher")
        with student(server.url("lesson", "student"), *_ASKED):
            await_that(lambda: teaching.of("reply_started"), 60)
            assert teaching.status()["publish"]["ok"]
            await_that(lambda: teaching.of("reply_stopped", cause="finished"))
        assert http.post("/session/stop", json={}).json()["ended"]["cause"] == "stopped"
        await_film(kept)
    seen = film(kept)
    assert seen.monotonic
    assert_steady(seen.pictures)
    (reply,), (over,) = teaching.of("reply_started"), teaching.of("reply_stopped")
    spoken = [at for at, loud in seen.sound if loud > 0.02]
    # By RTSP the film begins with the first picture that was recorded, not with the session.
    assert spoken[-1] - spoken[0] == pytest.approx(over["t"] - reply["t"], abs=1.0)


def test_the_server_restarts_in_mid_lesson(
    server: RtmpServer, service: Served, http: httpx.Client, tmp_path: Path
) -> None:
    before, after = tmp_path / "before.mkv", tmp_path / "after.mkv"
    mine, hers = server.url("lesson", "student"), server.url("avatar", "teacher")
    with viewer(hers, before):
        teaching = begin(http, server)
        http.post("/session/config", json={"window": 120})
        with student(mine, *_PLAYED_AND_ASKED):
            await_that(lambda: teaching.of("reply_stopped", cause="finished"), 60)
        await_that(lambda: teaching.status()["conversation"] == "active_listening")
        known = teaching.status()
        assert known["takes"] == 1
        server.kill()
        await_that(lambda: not teaching.status()["publish"]["ok"], 10)
        await_that(lambda: not teaching.status()["ingest"]["ok"], 10)
        time.sleep(3.0)
        assert teaching.status()["conversation"] == "active_listening"
        assert "refuses the connection" in teaching.status()["publish"]["text"]
    server.start()
    with viewer(hers, after), student(mine, *_FOLLOWS_UP):
        await_that(lambda: teaching.of("connection_restored", port="publish"), 60)
        await_that(lambda: teaching.of("connection_restored", port="ingest"), 60)
        await_that(lambda: teaching.of("question", kind="follow_up"), 60)
        await_that(lambda: len(teaching.of("reply_stopped", cause="finished")) == 2)
        now = teaching.status()
        assert (known["takes"], known["notes"]) == (now["takes"], now["notes"])
        await_that(lambda: teaching.status()["ingest"]["ok"])
        await_that(lambda: teaching.status()["publish"]["ok"])
        http.post("/session/stop", json={})
        await_film(after)
    says_nothing_it_should_not(service, teaching)
    # The clock went on: a viewer who comes after the restart sees later time stamps, and the reply
    # stands where the log has it.
    first, second = film(before), film(after)
    assert first.monotonic and second.monotonic
    assert first.pictures[-1] + 3.0 < second.pictures[0]
    assert_steady(second.pictures)
    reply = teaching.of("reply_started")[-1]
    assert 0.02 < second.loudest(reply["t"], reply["t"] + 1.5)
    assert 0.001 > second.loudest(0, reply["t"] - 0.1)
    fps = [one["fps"] for one in teaching.of("slice")]
    assert sum(one >= 24 for one in fps) >= 0.95 * len(fps)


def test_a_stream_that_is_busy_is_waited_for(
    server: RtmpServer, service: Served, http: httpx.Client, tmp_path: Path
) -> None:
    url = server.url("avatar", "teacher")
    source = ("-re", "-f", "lavfi", "-i", "sine=frequency=3000", "-c:a", "aac", "-f", "flv", url)
    with ffmpeg(*source):
        await_that(lambda: server.publishes("avatar", "teacher"))
        teaching = begin(http, server)
        await_that(lambda: not teaching.status()["publish"]["ok"])
        status = teaching.status()["publish"]
        assert "the stream is busy" in status["text"] and KEY not in json.dumps(status)
        time.sleep(5.0)  # some attempts, ever longer apart
        assert teaching.status()["state"] == "running"
        assert 1 == len(teaching.of("adapter_failed", port="publish"))
        assert teaching.of("slice")[-1]["fps"] > 20
    with viewer(url, tmp_path / "teacher.mkv"), student(server.url("lesson", "student"), *_ASKED):
        await_that(lambda: teaching.of("connection_restored", port="publish"), 60)
        await_that(lambda: teaching.status()["publish"]["ok"])
        await_that(lambda: teaching.of("reply_stopped", cause="finished"), 60)
        http.post("/session/stop", json={})
        await_film(tmp_path / "teacher.mkv")
    says_nothing_it_should_not(service, teaching)
    seen = film(tmp_path / "teacher.mkv")
    assert seen.monotonic and 5.0 < seen.pictures[0]
    assert_steady(seen.pictures)
