"""Which streams a session may be pointed at."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestra.app.service.addresses import AllowList, BadAddress
from maestra.core.stream_url import StreamUrl

pytestmark = pytest.mark.anyio

NAMES = {
    "localhost": ["::1", "127.0.0.1"],
    "zoom-bot": ["172.18.0.5"],
    "metadata": ["169.254.169.254"],
    "cdn.example.com": ["93.184.216.34"],
    "inside.example.com": ["10.0.0.7"],
    "both.example.com": ["93.184.216.34", "10.0.0.7"],
    "mapped.example.com": ["::ffff:10.0.0.7"],
    "translated.example.com": ["64:ff9b::a9fe:a9fe"],
    "fec.example.com": ["fec0::1"],
    "overlaid": ["100.101.102.103"],
    "2130706433": ["127.0.0.1"],
}


async def look_up(host: str, port: int) -> Sequence[str]:
    if host not in NAMES:
        raise OSError("no such name")
    return NAMES[host]


def allowing(*hosts: str, schemes: tuple[str, ...] = ("rtmp", "rtsp")) -> AllowList:
    return AllowList(schemes=schemes, hosts=hosts, look_up=look_up)


@pytest.mark.parametrize(
    ("hosts", "url", "number"),
    [
        (("localhost",), "rtmp://localhost/live/x", "127.0.0.1"),
        (("zoom-bot",), "rtmp://ZOOM-bot:1936/live/x", "172.18.0.5"),
        (("*.example.com",), "rtmp://cdn.example.com/live/x", "93.184.216.34"),
        (("CDN.example.com",), "rtsp://cdn.example.com/x", "93.184.216.34"),
        (("93.184.216.34",), "rtsp://93.184.216.34/x", "93.184.216.34"),
        (("*",), "rtmp://cdn.example.com/live/x", "93.184.216.34"),
        (("*",), "rtmp://93.184.216.34/live/x", "93.184.216.34"),
        (("10.0.0.0/8", "*"), "rtmp://both.example.com/live/x", "93.184.216.34"),
        (("10.0.0.0/8", "*"), "rtmp://inside.example.com/live/x", "10.0.0.7"),
        (("169.254.169.254", "metadata"), "rtmp://metadata/live/x", "169.254.169.254"),
        (("overlaid",), "rtmp://overlaid/live/x", "100.101.102.103"),
        (("0.0.0.0",), "rtmp://0.0.0.0:1935/live/x?listen=1", "0.0.0.0"),
        (("::1",), "rtmp://[::1]/live/x", "::1"),
        (("*",), "rtmp://[64:ff9b::5db8:d822]/live/x", "64:ff9b::5db8:d822"),  # by NAT64
        (("10.0.0.0/8",), "rtmp://[2002:a00:7::1]/live/x", "2002:a00:7::1"),
    ],
)
async def test_what_is_named_is_allowed_and_pinned(
    hosts: tuple[str, ...], url: str, number: str
) -> None:
    found = await allowing(*hosts).check("rtmp_ingest_url", url)

    assert found.pinned == number
    assert number in found.dialled


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        ((), "rtmp://cdn.example.com/live/x"),
        (("*",), "rtmp://localhost/live/x"),
        (("*",), "rtmp://127.0.0.1/live/x"),
        (("*",), "rtmp://[::1]/live/x"),
        (("*",), "rtmp://[::ffff:127.0.0.1]/live/x"),
        (("*",), "rtmp://[64:ff9b::a9fe:a9fe]/live/x"),  # NAT64
        (("*",), "rtmp://[64:ff9b:1::a9fe:a9fe]/live/x"),
        (("*",), "rtmp://[2002:7f00:1::]/live/x"),  # 6to4
        (("*",), "rtmp://[2001:0:5db8:d822:0:0:80ff:fffe]/live/x"),  # Teredo
        (("*",), "rtmp://[::7f00:1]/live/x"),  # IPv4-compatible
        (("*",), "rtmp://[::ffff:0:7f00:1]/live/x"),  # IPv4-translated
        (("*",), "rtmp://[fec0::1]/live/x"),  # site-local
        (("*",), "rtmp://translated.example.com/live/x"),
        (("fec.example.com",), "rtmp://fec.example.com/live/x"),
        (("translated.example.com",), "rtmp://translated.example.com/live/x"),
        (("*",), "rtmp://10.0.0.7/live/x"),
        (("*",), "rtmp://169.254.169.254/live/x"),
        (("*",), "rtmp://0.0.0.0:1935/live/x?listen=1"),
        (("*",), "rtmp://2130706433/live/x"),  # 127.0.0.1 to some resolvers
        (("*",), "rtmp://224.0.0.1/live/x"),
        (("*",), "rtmp://overlaid/live/x"),
        (("*", "*.example.com"), "rtmp://inside.example.com/live/x"),
        (("*", "*.example.com"), "rtmp://both.example.com/live/x"),  # one bad one is enough
        (("*", "*.example.com"), "rtmp://mapped.example.com/live/x"),
        (("metadata",), "rtmp://metadata/live/x"),  # link-local: only as an address
        (("*.example.com",), "rtmp://example.com.evil.org/live/x"),
        (("*", "*.example.com", "93.184.0.0/16"), "rtsp://cdn.example.com/x"),  # may send us on
        (("*", "93.184.0.0/16"), "rtsp://93.184.216.34/x"),
        (("*.example.com",), "rtmp://93.184.216.34/live/x"),
        (("localhost",), "rtmps://localhost/live/x"),  # a scheme that is not on the list
        (("localhost", "*"), "rtmp://nobody.knows/live/x"),
        (("localhost",), "rtmp://localhost@10.0.0.7/live/x"),
    ],
)
async def test_what_is_not_named_is_refused(hosts: tuple[str, ...], url: str) -> None:
    with pytest.raises(BadAddress) as refused:
        await allowing(*hosts).check("rtmp_ingest_url", url)

    assert str(refused.value).startswith("rtmp_ingest_url")
    assert "10.0.0.7" not in str(refused.value) or "10.0.0.7" in url  # no map of the inside


async def test_who_named_the_host_is_told_to_name_its_address() -> None:
    for hosts, advice in (
        (("metadata",), "name its address or network in service.hosts"),
        (("*",), "name the host, or its address or network, in service.hosts"),
    ):
        with pytest.raises(BadAddress, match=advice):
            await allowing(*hosts).check("rtmp_ingest_url", "rtmp://metadata/live/x")


async def test_who_is_looked_up_again_must_be_named_itself() -> None:
    """A TLS server is told its name, and found by it, whatever it was found to be before."""
    schemes = ("rtmp", "rtmps", "rtsps")
    for url in ("rtmps://cdn.example.com/live/x", "rtsps://cdn.example.com/x"):
        for hosts in (("*",), ("*.example.com",), ("93.184.0.0/16", "*")):
            with pytest.raises(BadAddress, match="name that host itself"):
                await allowing(*hosts, schemes=schemes).check("rtmp_publish_url", url)
        found = await allowing("cdn.example.com", schemes=schemes).check("rtmp_publish_url", url)
        assert found.dialled == url
        assert found.permitted is not None and found.permitted.allows(ip_address("10.0.0.7"))
        assert not found.permitted.allows(ip_address("169.254.169.254"))
    number = "rtmps://93.184.216.34/live/x"
    await allowing("93.184.0.0/16", schemes=schemes).check("rtmp_publish_url", number)
    with pytest.raises(BadAddress):
        await allowing("*", schemes=schemes).check("rtmp_publish_url", number)


@pytest.mark.parametrize(
    "url", ["/etc/passwd", "file:///etc/passwd", "http://localhost/", "concat:a|b", "x.mp4", ""]
)
async def test_files_and_other_protocols_are_refused(url: str) -> None:
    with pytest.raises(BadAddress):
        await allowing("localhost", "*").check("rtmp_publish_url", url)


@given(st.text(max_size=60))
async def test_anything_is_refused_in_one_way(text: str) -> None:
    with pytest.raises(BadAddress):
        await allowing("localhost").check("rtmp_ingest_url", f"rtmp:{text}")


def test_a_pinned_address_keeps_all_but_the_host() -> None:
    url = StreamUrl.parse("rtmp://user:word@bot.example:1936/live/key?a=b").pin("2001:db8::1")
    tls = StreamUrl.parse("rtmps://bot.example/live/key").pin("192.0.2.7")

    assert url.dialled == "rtmp://user:word@[2001:db8::1]:1936/live/key?a=b"
    assert url.dialling == {"rtmp_tcurl": "rtmp://bot.example:1936/live"}
    assert "2001" not in url.redacted()
    assert tls.dialled == tls.address  # its server goes by the name


@pytest.mark.parametrize("kind", ["rtmp", "rtmps", "rtsp", "rtsps"])
def test_what_is_secret_in_an_address(kind: str) -> None:
    url = StreamUrl.parse(f"{kind}://user:word@bot.example/live/teacher?token=0123456789abc")

    assert {"word", "user:word", "/live/teacher", "0123456789abc", url.address} <= url.secrets
    assert "teacher" not in url.secrets  # or it would be hidden wherever somebody says it
    long = StreamUrl.parse(f"{kind}://bot.example/live/of-mary/9f8e7d6c5b4a")
    assert {"9f8e7d6c5b4a", "/live/of-mary/9f8e7d6c5b4a"} <= long.secrets
    assert "of-mary" not in long.secrets
    assert not StreamUrl.parse("lesson.flac").secrets
