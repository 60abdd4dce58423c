"""Addresses of streams: which may be opened at all, and what of them may be shown.

FFmpeg understands many more addresses than a lesson needs, and some of them read other files or
call other machines (``concat:``, ``subfile``, ``pipe:``, ``http:``, ``data:``). So an address is
taken apart here, and only what is known to be a file, RTMP(S) or RTSP(S) comes out. Two addresses
lead nowhere: ``whip:`` is an input and ``whep:`` an output that a browser comes to by itself.
"""

from __future__ import annotations

import enum
import re
from typing import Self
from urllib.parse import unquote, urlsplit

from attrs import evolve, field, frozen

from .networks import Permitted

__all__ = ["BadStreamUrl", "StreamKind", "StreamUrl"]

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)
"""One letter and a colon is a drive, two and more are a scheme."""

_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]+", re.IGNORECASE)
_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f\\]")
_FILE_FORMATS = {".mp4": "mp4", ".flv": "flv", ".mkv": "matroska"}
_HIDDEN = "***"
_SURELY_A_KEY = 12
"""Characters from which on a part of an address is not a word that somebody may say."""


class BadStreamUrl(ValueError):
    """This address is not one that may be opened. Its text is one sentence a user can act on."""


class StreamKind(enum.StrEnum):
    FILE = "file"
    RTMP = "rtmp"
    RTMPS = "rtmps"
    RTSP = "rtsp"
    RTSPS = "rtsps"
    WHIP = "whip"
    """A browser brings its microphone, by the service's WHIP endpoint."""
    WHEP = "whep"
    """Browsers fetch the teacher, by the service's WHEP endpoint; nothing is sent to anywhere."""


_OF_BROWSERS = (StreamKind.WHIP, StreamKind.WHEP)

_PROTOCOLS: dict[str, tuple[str, ...]] = {
    StreamKind.FILE: ("file",),
    StreamKind.RTMP: ("rtmp", "tcp"),
    StreamKind.RTMPS: ("rtmps", "tls", "tcp"),
    StreamKind.RTSP: ("rtsp", "rtp", "udp", "tcp"),
    StreamKind.RTSPS: ("rtsps", "rtsp", "rtp", "udp", "tls", "tcp"),
    StreamKind.WHIP: (),
    StreamKind.WHEP: (),
}


_PORTS: dict[str, int] = {
    StreamKind.RTMP: 1935,
    StreamKind.RTMPS: 443,
    StreamKind.RTSP: 554,
    StreamKind.RTSPS: 322,
}


@frozen(kw_only=True)
class StreamUrl:
    """An address that may be opened.

    ``address`` is a path for a file, else a URL without the ``listen`` parameter; it may hold
    passwords and stream keys, so that ``str`` and ``repr`` of this object show :meth:`redacted`.
    ``listen`` says that our side waits for the other to connect (RTMP only). ``pinned`` is the
    numeric address that stands for the host, if somebody has looked it up and judged it already;
    ``permitted`` is what it was judged by, and is to be again where the host is looked up again.
    """

    kind: StreamKind
    address: str = field(repr=False)
    listen: bool = False
    pinned: str = ""
    permitted: Permitted | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take ``text`` apart: a path, ``file:///path``, an RTMP(S) or RTSP(S) URL, ``whip:`` or
        ``whep:``.

        :raises BadStreamUrl: it is anything else, or not well formed.
        """
        if not text.strip():
            raise BadStreamUrl("The stream address is empty.")
        if "\x00" in text or "\n" in text or "\r" in text:
            raise BadStreamUrl("The stream address holds a control character.")
        scheme = _SCHEME.match(text)
        if scheme is None:
            return cls(kind=StreamKind.FILE, address=text)
        name = scheme[1].lower()
        if name not in _PROTOCOLS:
            raise BadStreamUrl(
                f"A stream address cannot begin with {name}: — give a file, or a URL that begins "
                "with rtmp, rtmps, rtsp or rtsps."
            )
        kind = StreamKind(name)
        if kind is StreamKind.FILE:
            return cls(kind=kind, address=_path_of_file_url(text))
        if kind in _OF_BROWSERS:
            if text.lower() != f"{kind}:":
                raise BadStreamUrl(f"Nothing comes after {kind}: — browsers come by themselves.")
            return cls(kind=kind, address=f"{kind}:")
        return cls._network(kind, text)

    @classmethod
    def _network(cls, kind: StreamKind, text: str) -> Self:
        if _NOT_IN_A_URL.search(text):
            raise BadStreamUrl(f"A {kind} address cannot hold spaces or control characters.")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise BadStreamUrl(f"This {kind} address is not well formed.") from error
        if not parts.netloc or not parts.hostname or not _HOST.fullmatch(parts.hostname):
            raise BadStreamUrl(f"A {kind} address needs a host: {kind}://host/path.")
        if port == 0:
            raise BadStreamUrl(f"Port 0 of this {kind} address cannot be reached.")
        if parts.fragment or "#" in text:
            raise BadStreamUrl(f"A {kind} address cannot hold a #.")
        query, listen = _without_listen(kind, parts.query)
        address = parts._replace(scheme=kind.value, query=query).geturl()
        return cls(kind=kind, address=address, listen=listen)

    @property
    def is_file(self) -> bool:
        return self.kind is StreamKind.FILE

    @property
    def is_browser(self) -> bool:
        """Whether browsers come to us for it, or with it."""
        return self.kind in _OF_BROWSERS

    @property
    def host(self) -> str:
        """The host's name or number as it was given, in small letters; empty if there is none."""
        return "" if self.kind not in _PORTS else (urlsplit(self.address).hostname or "")

    @property
    def port(self) -> int:
        """The port as given, or the kind's own; 0 where there is none."""
        return 0 if self.kind not in _PORTS else urlsplit(self.address).port or _PORTS[self.kind]

    def pin(self, number: str) -> Self:
        """The same, to be reached at the numeric address ``number`` without another look-up, which
        might give another answer.

        RTMPS and RTSPS stay as they are: their servers are told, and judged by, the host's name.
        """
        if self.kind not in (StreamKind.RTMP, StreamKind.RTSP):
            return self
        return evolve(self, pinned=number)

    @property
    def dialled(self) -> str:
        """The address to open: with ``pinned`` in place of the host."""
        if not self.pinned:
            return self.address
        parts = urlsplit(self.address)
        user, at, _ = parts.netloc.rpartition("@")
        number = f"[{self.pinned}]" if ":" in self.pinned else self.pinned
        port = f":{parts.port}" if parts.port else ""
        return parts._replace(netloc=f"{user}{at}{number}{port}").geturl()

    @property
    def dialling(self) -> dict[str, str]:
        """What FFmpeg has to be told besides ``dialled``: an RTMP server chooses among the sites
        it serves by the host that it is called by."""
        if not self.pinned or self.listen or self.kind is not StreamKind.RTMP:
            return {}
        parts = urlsplit(self.address)
        application = parts.path.removeprefix("/").partition("/")[0]
        host = parts.netloc.rpartition("@")[2]
        return {"rtmp_tcurl": f"rtmp://{host}/{application}"}

    @property
    def secrets(self) -> frozenset[str]:
        """What of the address must not stand in a text: passwords, and keys wherever they would be
        told from ordinary words by where they stand or by their length."""
        if self.kind not in _PORTS:
            return frozenset()
        parts = urlsplit(self.address)
        user = parts.netloc.rpartition("@")[0]
        found = {self.address, user, parts.password or "", parts.query}
        values = [value.partition("=")[2] for value in parts.query.split("&")]
        if key := self._key(parts.path):
            found.add(parts.path)
            values += [key, *key.split("/")]
        found.update(value for value in values if len(value) >= _SURELY_A_KEY)
        return frozenset(one for one in found if one)

    @property
    def protocols(self) -> tuple[str, ...]:
        """The FFmpeg protocols that opening this address may use, and no others."""
        return _PROTOCOLS[self.kind]

    def output_format(self) -> str:
        """The FFmpeg muxer that writes to this address.

        :raises BadStreamUrl: it is a file with a suffix that is not written.
        """
        match self.kind:
            case StreamKind.RTMP | StreamKind.RTMPS:
                return "flv"
            case StreamKind.RTSP | StreamKind.RTSPS:
                return "rtsp"
            case StreamKind.FILE:
                for suffix, name in _FILE_FORMATS.items():
                    if self.address.lower().endswith(suffix):
                        return name
                raise BadStreamUrl(
                    f"The output file {self.address} must end in .mp4, .flv or .mkv."
                )
            case StreamKind.WHIP | StreamKind.WHEP:
                raise BadStreamUrl(f"{self.address} is not written to: browsers fetch it.")

    def redacted(self) -> str:
        """The address as it may stand in a log: no user, password, stream key or token."""
        if self.kind not in _PORTS:
            return self.address
        parts = urlsplit(self.address)
        host = parts.netloc.rpartition("@")[2]
        netloc = f"{_HIDDEN}@{host}" if "@" in parts.netloc else host
        query = _HIDDEN if parts.query else ""
        key = self._key(parts.path)
        path = f"{parts.path.removesuffix(key)}{_HIDDEN}" if key else parts.path
        shown = parts._replace(netloc=netloc, path=path, query=query).geturl()
        if not self.listen:
            return shown
        return f"{shown}&listen=1" if query else f"{shown}?listen=1"

    def _key(self, path: str) -> str:
        """The end of ``path`` that is a key, or may be one: all after its first part, which is an
        RTMP application's name. RTSP servers may know a stream by a single part: a long one."""
        whole = path.removeprefix("/")
        first, _, rest = whole.partition("/")
        if rest or self.kind in (StreamKind.RTMP, StreamKind.RTMPS):
            return rest
        return whole if len(first) >= _SURELY_A_KEY else ""

    def __str__(self) -> str:
        return self.redacted()

    def __repr__(self) -> str:
        return f"StreamUrl({self.redacted()!r})"


def _path_of_file_url(text: str) -> str:
    parts = urlsplit(text)
    path = unquote(parts.path)
    if not text.lower().startswith("file:///") or parts.query or parts.fragment:
        raise BadStreamUrl("A file address is a path, or file:/// and an absolute path.")
    if "\x00" in path or "\n" in path or "\r" in path or path == "/":
        raise BadStreamUrl("This file address does not name a file.")
    return path


def _without_listen(kind: StreamKind, query: str) -> tuple[str, bool]:
    """``query`` less its ``listen`` parameter, and whether that said to listen."""
    rest: list[str] = []
    listen = False
    for item in query.split("&") if query else []:
        name, _, value = item.partition("=")
        if unquote(name).lower() != "listen":
            rest.append(item)
        elif kind is not StreamKind.RTMP:
            raise BadStreamUrl(f"Maestra can listen for RTMP only, not for {kind}.")
        elif value not in ("0", "1"):
            raise BadStreamUrl("The listen parameter of an address is listen=1 or listen=0.")
        else:
            listen = value == "1"
    return "&".join(rest), listen
