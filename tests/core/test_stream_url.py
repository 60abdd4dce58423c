"""Only files, RTMP(S), RTSP(S) and what browsers come to get through; no secret is ever shown."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestra.core.stream_url import BadStreamUrl, StreamKind, StreamUrl

NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", min_size=1)
SECRETS = NAMES.map(lambda name: f"secret{name}")
KINDS = [StreamKind.RTMP, StreamKind.RTMPS, StreamKind.RTSP, StreamKind.RTSPS]


@pytest.mark.parametrize(
    "text",
    [
        "concat:a.mp4|b.mp4",
        "subfile:a.mp4",
        "pipe:0",
        "pipe:",
        "data:audio/wav;base64,AAAA",
        "http://host/lesson.mp3",
        "https://host/lesson.mp3",
        "HTTP://host/lesson.mp3",
        "hls+http://host/lesson.m3u8",
        "crypto:file.mp4",
        "async:file.mp4",
        "cache:rtmp://host/app/key",
        "tcp://host:80",
        "udp://host:80",
        "srt://host:80",
        "rtmpt://host/app",
        "rtmpe://host/app",
        "fd:3",
        "unix:/run/socket",
        "rtmp:/host/app",
        "rtmp:host",
        "rtmp://",
        "rtmp:///app/key",
        "rtmp://host:0/app/key",
        "rtmp://host:99999/app/key",
        "rtmp://host:port/app/key",
        "rtmp://ho st/app/key",
        "rtmp://host/app/key live=1",
        "rtmp://host/app/key#fragment",
        "rtmp://host?x/../y@elsewhere/app\x7f",
        "rtmp://[::1/app",
        "rtmp://-host/app",
        "rtmp://host/app/key?listen=yes",
        "rtsp://host/path?listen=1",
        "rtsp://host/path?listen",
        "rtsp://host/path?LISTEN",
        "rtsp://host/path?%6cisten",
        "rtmps://host/path?listen=1",
        "whip://host/session",
        "whip:x",
        "whip:?listen=1",
        "whep:/",
        "wHeP:concat:a.mp4",
        "file:relative.wav",
        "file://host/lesson.wav",
        "file:///lesson.wav?x",
        "file:///%00",
        "file:///",
        "",
        "  ",
        "lesson\n.wav",
        "lesson\0.wav",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(BadStreamUrl) as caught:
        StreamUrl.parse(text)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("lesson.wav", "lesson.wav"),
        ("/a/b c/lesson.wav", "/a/b c/lesson.wav"),
        ("./concat:a.wav", "./concat:a.wav"),
        ("C:/lessons/one.wav", "C:/lessons/one.wav"),
        ("file:///a/b%20c.wav", "/a/b c.wav"),
        ("subfile,,start,0,end,9,,:/etc/hosts", "subfile,,start,0,end,9,,:/etc/hosts"),
    ],
)
def test_files(text: str, path: str) -> None:
    url = StreamUrl.parse(text)
    assert (url.kind, url.address, url.listen) == (StreamKind.FILE, path, False)
    assert url.protocols == ("file",)
    assert url.is_file


@pytest.mark.parametrize(
    ("text", "kind"),
    [("whip:", StreamKind.WHIP), ("WHIP:", StreamKind.WHIP), ("whep:", StreamKind.WHEP)],
)
def test_what_browsers_come_to_leads_nowhere(text: str, kind: StreamKind) -> None:
    url = StreamUrl.parse(text)
    assert (url.kind, url.address, str(url)) == (kind, text.lower(), text.lower())
    assert url.is_browser and not url.is_file and not url.listen
    assert (url.protocols, url.host, url.port, url.secrets) == ((), "", 0, frozenset())
    with pytest.raises(BadStreamUrl, match="browsers fetch it"):
        url.output_format()


def test_what_is_reached_is_no_browser_s() -> None:
    assert not any(
        StreamUrl.parse(text).is_browser for text in ("lesson.wav", "rtmp://host/app/key")
    )


@given(kind=st.sampled_from(KINDS), host=NAMES.filter(lambda n: n[0].isalnum() and n[-1].isalnum()))
def test_network_addresses_go_through_unchanged(kind: StreamKind, host: str) -> None:
    text = f"{kind}://{host}:1935/app/key?token=1"
    url = StreamUrl.parse(text)
    assert (url.kind, url.address, url.listen) == (kind, text, False)
    assert not url.is_file
    assert not {"http", "https", "file", "concat", "data", "pipe"} & set(url.protocols)


def test_scheme_is_case_blind_and_ipv6_is_a_host() -> None:
    assert StreamUrl.parse("RTMP://[::1]:1935/live/key").address == "rtmp://[::1]:1935/live/key"


@pytest.mark.parametrize(
    ("query", "rest", "listen"),
    [
        ("?listen=1", "", True),
        ("?listen=0", "", False),
        ("?token=a&listen=1", "?token=a", True),
        ("?listen=1&token=a", "?token=a", True),
        ("?token=a", "?token=a", False),
        ("?glisten=1", "?glisten=1", False),
    ],
)
def test_listen_is_taken_out_of_the_address(query: str, rest: str, listen: bool) -> None:
    url = StreamUrl.parse(f"rtmp://host/live/key{query}")
    assert (url.address, url.listen) == (f"rtmp://host/live/key{rest}", listen)


@given(
    kind=st.sampled_from(KINDS),
    user=SECRETS,
    password=SECRETS,
    key=SECRETS,
    token=SECRETS,
    listen=st.booleans(),
)
def test_secrets_are_not_shown(
    kind: StreamKind, user: str, password: str, key: str, token: str, listen: bool
) -> None:
    listening = "&listen=1" if listen and kind is StreamKind.RTMP else ""
    text = f"{kind}://{user}:{password}@host:1935/live/{key}?token={token}{listening}"
    url = StreamUrl.parse(text)
    for shown in (url.redacted(), str(url), repr(url), f"{url}"):
        assert "secret" not in shown
        assert f"{kind}://***@host:1935/live" in shown
        assert ("listen=1" in shown) == bool(listening)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtmp://bot/live", "rtmp://bot/live"),
        ("rtmp://bot/live/teacher", "rtmp://bot/live/***"),
        ("rtsp://bot", "rtsp://bot"),
        ("rtsp://bot/teacher", "rtsp://bot/teacher"),
        ("rtsp://bot/live/9f8e7d6c5b4a3f2e1d0c", "rtsp://bot/live/***"),
        ("rtsps://bot:8322/live/teacher/", "rtsps://bot:8322/live/***"),
        ("rtsp://bot/live/9f8e7d6c5b4a3f2e1d0c/track1", "rtsp://bot/live/***"),
        ("rtsp://bot/9f8e7d6c5b4a3f2e1d0c", "rtsp://bot/***"),  # of some servers, all there is
        ("rtsp://bot/9f8e7d6c5b4a3f2e1d0c/", "rtsp://bot/***"),
    ],
)
def test_what_is_shown_of_a_path(text: str, shown: str) -> None:
    url = StreamUrl.parse(text)

    assert url.redacted() == shown
    assert ("9f8e7d6c5b4a3f2e1d0c" in url.secrets) == ("9f8e7d6c5b4a3f2e1d0c" in text)


@given(st.text())
def test_any_text_is_a_file_a_known_scheme_or_refused(text: str) -> None:
    try:
        url = StreamUrl.parse(text)
    except BadStreamUrl:
        return
    if url.is_browser:
        assert text.lower() == f"{url.kind}:"
    elif url.kind is StreamKind.FILE:
        assert text.startswith("file:///") or not re.match("[A-Za-z][A-Za-z0-9+.-]+:", text)
    else:
        assert url.address.startswith(f"{url.kind}://")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("out/lesson.mp4", "mp4"),
        ("lesson.MKV", "matroska"),
        ("lesson.flv", "flv"),
        ("rtmp://host/app/key.mp4", "flv"),
        ("rtmps://host/app/key", "flv"),
        ("rtsp://host/path", "rtsp"),
    ],
)
def test_output_format(text: str, name: str) -> None:
    assert StreamUrl.parse(text).output_format() == name


def test_other_output_files_are_refused() -> None:
    with pytest.raises(BadStreamUrl, match=r"must end in \.mp4, \.flv or \.mkv"):
        StreamUrl.parse("lesson.wav").output_format()
