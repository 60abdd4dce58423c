"""Which streams a session may be pointed at: an allow-list of schemes and hosts.

Whoever may start a session chooses addresses that this machine then connects to. So a host must be
on the list, and so must be what its name stands for: a name that anybody may publish must not lead
to the machine's own network. What was judged is what is connected to (``StreamUrl.pin``), since a
name may mean something else a moment later; or else it is judged again (``StreamUrl.permitted``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio
from attrs import evolve, field, frozen

from maestra.core.networks import Address, Permitted, is_public
from maestra.core.stream_url import BadStreamUrl, StreamKind, StreamUrl
from maestra.ports.errors import MaestraError

__all__ = ["AllowList", "BadAddress", "Resolve", "resolve"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host's name and a port to numeric addresses."""

_LOOK_UP: Final = 3.0
"""Seconds for a name to be looked up."""


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
        permitted = self._permitted(url.host)
        for number in numbers:
            if not permitted.allows(number):
                raise self._refusal(name, url.host, number)
        # Of several FFmpeg would take the first that answers; IPv4 is what every network has.
        chosen = min(numbers, key=lambda number: number.version)
        return evolve(url, permitted=permitted).pin(str(chosen))

    async def _numbers(self, name: str, url: StreamUrl) -> list[Address]:
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

    def _permitted(self, host: str) -> Permitted:
        """What ``host`` may stand for, as the list has it."""
        return Permitted(
            networks=[str(network) for network in self._networks()],
            public="*" in self.hosts or self._is_named(host),
            private=self._is_named_whole(host),
        )

    def _refusal(self, name: str, host: str, number: Address) -> BadAddress:
        public = is_public(number)
        kind = "an address" if public else "a private or special address"
        what = "the host, or its address or network,"
        if self._is_named_whole(host):
            what = "its address or network"
        return BadAddress(
            f"{name}: the host {host} is {kind} that streams may not use here; name {what} in"
            " service.hosts."
        )

    def _is_named_whole(self, host: str) -> bool:
        return host in {one.lower() for one in self.hosts} and _literal(host) is None

    def _is_trusted(self, url: StreamUrl) -> bool:
        """Whether the host is on the list itself. FFmpeg goes where an RTSP server sends it, and
        looks up the name of a TLS server again: what was judged need not be what is connected to,
        so no pattern and no network vouches for it."""
        literal = _literal(url.host)
        if literal is None:
            return self._is_named_whole(url.host)
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


def _literal(host: str) -> Address | None:
    """The address that ``host`` is written as. Forms that only some resolvers take for numbers
    (``0x7f.1``, ``2130706433``) are names, and are judged by what they resolve to."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
