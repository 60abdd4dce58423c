"""Which streams a session may be pointed at: an allow-list of schemes and hosts.

Whoever may start a session chooses addresses that this machine then connects to. So a host must be
on the list, and so must be what its name stands for: a name that anybody may publish must not lead
to the machine's own network. What was judged is what is connected to (``StreamUrl.pin``), since a
name may mean something else a moment later.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio
from attrs import field, frozen

from maestra.core.stream_url import BadStreamUrl, StreamKind, StreamUrl
from maestra.ports.errors import MaestraError

__all__ = ["AllowList", "BadAddress", "Resolve", "resolve"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host's name and a port to numeric addresses."""

_LOOK_UP: Final = 3.0
"""Seconds for a name to be looked up."""


_WITH_IPV4: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
)
"""IPv4 stands at their end: compatible, mapped and translated addresses, and those of NAT64."""

_LOCAL_TRANSLATION: Final = ipaddress.IPv6Network("64:ff9b:1::/48")
"""NAT64 as a site likes it (RFC 8215): what is meant, only the site knows."""

_SHARED: Final = ipaddress.IPv4Network("100.64.0.0/10")
"""Behind a provider's translation (RFC 6598), and of networks that are laid over others: neither
public nor private to ``ipaddress``."""


class BadAddress(MaestraError):
    """A stream's address is not one that this service may open. The text says what to do."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """What the machine's resolver says.

    :raises OSError: nothing.
    """
    import socket

    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]).partition("%")[0] for *_, address in found]


@frozen(kw_only=True)
class AllowList:
    """What ``service.schemes`` and ``service.hosts`` allow."""

    schemes: tuple[str, ...]
    hosts: tuple[str, ...]
    look_up: Resolve = field(default=resolve)

    async def check(self, name: str, text: str) -> StreamUrl:
        """The address ``text``, found good and pinned to what its host stands for.

        :param name: what the field is called, for the error's text.
        :raises BadAddress: it is not allowed.
        """
        try:
            url = StreamUrl.parse(text)
        except BadStreamUrl as error:
            raise BadAddress(f"{name}: {error}") from None
        if url.is_file:
            raise BadAddress(
                f"{name} must be a stream's address that begins with"
                f" {' or '.join(f'{scheme}://' for scheme in self.schemes)}: files are not opened"
                " over HTTP."
            )
        if url.is_browser:
            return url  # nothing is connected to: browsers come to us
        if url.kind.value not in self.schemes:
            raise BadAddress(
                f"{name} begins with {url.kind.value}://, which is not allowed here; use"
                f" {' or '.join(self.schemes)}, or add it to service.schemes."
            )
        if url.kind is not StreamKind.RTMP and not self._is_trusted(url):
            raise BadAddress(
                f"{name}: {url.kind.value}:// may lead on from the host {url.host} to another; name"
                " that host itself in service.hosts, or use rtmp://."
            )
        numbers = await self._numbers(name, url)
        for number in numbers:
            self._judge(name, url.host, number)
        # Of several FFmpeg would take the first that answers; IPv4 is what every network has.
        chosen = min(numbers, key=lambda number: number.version)
        return url.pin(str(chosen))

    async def _numbers(self, name: str, url: StreamUrl) -> list[_Address]:
        literal = _literal(url.host)
        if literal is not None:
            return [literal]
        if not self._is_named(url.host) and "*" not in self.hosts:
            raise BadAddress(
                f"{name}: the host {url.host} is not one that streams may use here; add it to"
                " service.hosts."
            )
        found: Sequence[str] = ()
        try:
            with anyio.move_on_after(_LOOK_UP):
                found = await self.look_up(url.host, url.port)
        except (OSError, UnicodeError):
            pass
        numbers = [number for text in found if (number := _literal(text)) is not None]
        if not numbers:
            raise BadAddress(
                f"{name}: the host {url.host} is not known; check its spelling, or the name server."
            )
        return numbers

    def _judge(self, name: str, host: str, number: _Address) -> None:
        """Refuse what ``host`` stands for, unless the list covers it."""
        number = _meant(number)
        if any(number in network for network in self._networks()):
            return
        public = number.is_global and not number.is_multicast and not _is_local(number)
        if public and ("*" in self.hosts or self._is_named(host)):
            return
        by_name = host in {one.lower() for one in self.hosts} and _literal(host) is None
        if by_name and _is_private(number):
            return
        kind = "an address" if public else "a private or special address"
        what = "its address or network" if by_name else "the host, or its address or network,"
        raise BadAddress(
            f"{name}: the host {host} is {kind} that streams may not use here; name {what} in"
            " service.hosts."
        )

    def _is_trusted(self, url: StreamUrl) -> bool:
        """Whether the host is on the list itself. FFmpeg goes where an RTSP server sends it, and
        looks up the name of a TLS server again: what was judged need not be what is connected to,
        so no pattern and no network vouches for it."""
        literal = _literal(url.host)
        if literal is None:
            return url.host in {one.lower() for one in self.hosts}
        holding = [network for network in self._networks() if literal in network]
        if url.kind is StreamKind.RTMPS:  # to a number: looked up nowhere, and sent on to nowhere
            return bool(holding)
        return any(network.num_addresses == 1 for network in holding)

    def _is_named(self, host: str) -> bool:
        for one in self.hosts:
            pattern = one.lower()
            if pattern == host or (pattern.startswith("*.") and host.endswith(pattern[1:])):
                return True
        return False

    def _networks(self) -> list[_Network]:
        found = []
        for one in self.hosts:
            try:
                found.append(ipaddress.ip_network(one.strip("[]"), strict=False))
            except ValueError:
                continue
        return found


def _literal(host: str) -> _Address | None:
    """The address that ``host`` is written as. Forms that only some resolvers take for numbers
    (``0x7f.1``, ``2130706433``) are names, and are judged by what they resolve to."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _meant(number: _Address) -> _Address:
    """The IPv4 address to which a network may carry what is sent to ``number``: it is written into
    an IPv6 address in several ways."""
    if isinstance(number, ipaddress.IPv4Address):
        return number
    if number.teredo is not None:
        return number.teredo[1]
    if number.sixtofour is not None:
        return number.sixtofour
    if any(number in network for network in _WITH_IPV4) and int(number) > 1:  # :: and ::1 have none
        return ipaddress.IPv4Address(int(number) & 0xFFFF_FFFF)
    return number


def _is_local(number: _Address) -> bool:
    """Of a site's own network, which for ``ipaddress`` is a part of the world."""
    return isinstance(number, ipaddress.IPv6Address) and (
        number.is_site_local or number in _LOCAL_TRANSLATION
    )


def _is_private(number: _Address) -> bool:
    """Of a network that a host may be in which is named: not link-local, where clouds keep their
    secrets, nor what no stream comes from."""
    if number.is_link_local or number.is_multicast or number.is_unspecified:
        return False
    return number.is_private or number.is_loopback or number in _SHARED
