"""The two ends of a lesson's streams: a student's publisher and a viewer's recorder.

Each is run as a process of its own, as the student's and the viewer's machines would be::

    python -m maestra.app.demo.streams publish lesson.flac rtmp://127.0.0.1:1935/live/student
    python -m maestra.app.demo.streams record rtmp://127.0.0.1:1936/live/teacher?listen=1 out.mp4

``--log FILE`` writes when what was sent or came in, on this machine's monotonic clock, as JSON
lines: latencies can then be measured from outside, by what was on the wire.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TextIO

import av
import av.error
import av.logging
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.codec.context import Flags

from maestra.core.stream_url import StreamKind, StreamUrl

__all__ = ["main", "publish_file", "record_stream"]

_FOREIGN = (av.error.FFmpegError, OSError, EOFError)
_RATE_HZ = 44_100
_FRAME = 1024
_PATIENCE = 30.0
"""Seconds to try to reach a listener that is not there yet."""


def publish_file(
    path: str | Path,
    url: str,
    *,
    realtime: bool = True,
    log: str | Path | None = None,
    patience: float = _PATIENCE,
) -> None:
    """Send the sound of ``path`` to an RTMP ``url`` as AAC, each frame when it would have sounded.

    The log's one line is ``{"t": …, "input": 0.0}``: the monotonic time (s) at which input time 0
    was; what sounds at ``x`` s of the file sounded ``x`` s later.

    :param patience: seconds to go on trying while the other side refuses.
    :raises OSError: it cannot be reached, or broke.
    """
    address = _rtmp(url).address
    deadline = time.monotonic() + patience
    while True:
        try:
            _send(path, address, realtime=realtime, log=log)
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _send(path: str | Path, address: str, *, realtime: bool, log: str | Path | None) -> None:
    options = {"flvflags": "no_duration_filesize", "flush_packets": "1"}
    with av.open(address, "w", format="flv", container_options=options) as output:
        stream = output.add_stream("aac", rate=_RATE_HZ, layout="mono")
        stream.bit_rate = 160_000
        stream.codec_context.flags |= Flags.global_header
        output.start_encoding()
        begin = time.monotonic()
        _write_line(log, {"t": begin, "input": 0.0})
        for number, samples in enumerate(_frames(path)):
            if realtime:
                time.sleep(max(0.0, begin + (number + 1) * _FRAME / _RATE_HZ - time.monotonic()))
            frame = AudioFrame.from_ndarray(samples[np.newaxis], format="fltp", layout="mono")
            frame.sample_rate = _RATE_HZ
            frame.pts = number * _FRAME
            frame.time_base = Fraction(1, _RATE_HZ)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _frames(path: str | Path) -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """The sound of ``path`` in mono frames of ``_FRAME`` samples, the last one padded."""
    rest = np.zeros(0, np.float32)
    resampler = AudioResampler(format="fltp", rate=_RATE_HZ)
    with av.open(str(path)) as source:
        for decoded in [*source.decode(audio=0), None]:
            for frame in resampler.resample(decoded):
                rest = np.concatenate([rest, frame.to_ndarray().mean(axis=0, dtype=np.float32)])
            while len(rest) >= _FRAME:
                yield rest[:_FRAME]
                rest = rest[_FRAME:]
    if len(rest):
        yield np.pad(rest, (0, _FRAME - len(rest)))


def record_stream(
    listen_url: str,
    out_path: str | Path,
    *,
    log: str | Path | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Wait for one RTMP publisher and keep what it sends, unchanged, in an MP4, until it goes.

    The log has ``{"t": …, "pts": …, "kind": "audio" | "video", "size": …}`` for every packet: when
    it came (monotonic s), its time stamp (s) and its bytes.

    :raises OSError: the address cannot be listened on, or nothing that can be kept came.
    """
    options = {"analyzeduration": "500000", "fpsprobesize": "0"}
    url = _rtmp(listen_url)
    if url.listen:
        options["listen"] = "1"
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(av.open(url.address, format="flv", options=options))
        output = stack.enter_context(
            av.open(
                str(out_path),
                "w",
                format="mp4",
                # In pieces, so that it plays even if we are killed.
                container_options={
                    "movflags": "hybrid_fragmented+frag_keyframe+default_base_moof",
                    "frag_duration": "500000",
                    "flush_packets": "1",
                },
            )
        )
        lines = stack.enter_context(_lines(log))
        copies = {
            stream.index: output.add_stream_from_template(stream)
            for stream in source.streams
            if stream.type in ("audio", "video")
        }
        with contextlib.suppress(*_FOREIGN):  # how a publisher's going shows
            for packet in source.demux():
                if packet.dts is None or packet.stream.index not in copies:
                    continue
                if lines is not None:
                    record = {
                        "t": time.monotonic(),
                        "pts": float((packet.pts or 0) * packet.time_base),
                        "kind": packet.stream.type,
                        "size": packet.size,
                    }
                    lines.write(json.dumps(record) + "\n")
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
                if stop is not None and stop.is_set():
                    break


def _rtmp(text: str) -> StreamUrl:
    url = StreamUrl.parse(text)
    if url.kind is not StreamKind.RTMP:
        raise ValueError(f"{url} is not an rtmp address")
    return url


@contextlib.contextmanager
def _lines(path: str | Path | None) -> Iterator[TextIO | None]:
    if path is None:
        yield None
        return
    with Path(path).open("w", encoding="utf-8", buffering=1) as file:
        yield file


def _write_line(path: str | Path | None, record: dict[str, float]) -> None:
    if path is not None:
        Path(path).write_text(json.dumps(record) + "\n", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """``publish FILE URL`` or ``record URL FILE``, each with ``--log FILE``."""
    parser = argparse.ArgumentParser(prog="python -m maestra.app.demo.streams")
    parser.add_argument("what", choices=("publish", "record"))
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--log")
    parser.add_argument("--fast", action="store_true", help="publish as fast as it is taken")
    parsed = parser.parse_args(arguments)
    av.logging.restore_default_callback()
    av.logging.set_libav_level(-8)
    try:
        if parsed.what == "publish":
            publish_file(parsed.source, parsed.target, realtime=not parsed.fast, log=parsed.log)
        else:
            _record_until_told(parsed.source, parsed.target, parsed.log)
    except _FOREIGN as error:
        print(f"{parsed.what}: {error}", file=sys.stderr)
        return 3
    return 0


def _record_until_told(url: str, out_path: str, log: str | None) -> None:
    """Record until the publisher goes or a signal comes.

    In a thread, for FFmpeg waits without letting Python see the signal.
    """
    stop, done = threading.Event(), threading.Event()
    errors: list[Exception] = []

    def record() -> None:
        try:
            record_stream(url, out_path, log=log, stop=stop)
        except _FOREIGN as error:
            errors.append(error)
        finally:
            done.set()

    def told(*_: object) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, told)
    threading.Thread(target=record, daemon=True).start()
    while not done.wait(0.1):
        if stop.is_set():
            done.wait(1.0)
            break
    if errors:
        raise errors[0]


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)  # a thread may still wait for a publisher that never comes
