"""Numeric addresses: which of them a stream's host may stand for."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from attrs import field, frozen

__all__ = ["Address", "Permitted", "is_public"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

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


def _texts(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


@frozen(kw_only=True)
class Permitted:
    """What a host may stand for: any address of ``networks``, and besides them public or private
    ones, if so said."""

    networks: tuple[str, ...] = field(default=(), converter=_texts)
    public: bool = False
    private: bool = False

    def allows(self, number: Address) -> bool:
        meant = _meant(number)
        if any(meant in ipaddress.ip_network(network) for network in self.networks):
            return True
        return (self.public and is_public(number)) or (self.private and _is_private(meant))


def is_public(number: Address) -> bool:
    """Whether it, and what a network may make of it, is of the world."""
    meant = _meant(number)
    return meant.is_global and not meant.is_multicast and not _is_local(meant)


def _meant(number: Address) -> Address:
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


def _is_local(number: Address) -> bool:
    """Of a site's own network, which for ``ipaddress`` is a part of the world."""
    return isinstance(number, ipaddress.IPv6Address) and (
        number.is_site_local or number in _LOCAL_TRANSLATION
    )


def _is_private(number: Address) -> bool:
    """Of a network that a host may be in which is named: not link-local, where clouds keep their
    secrets, nor what no stream comes from."""
    if number.is_link_local or number.is_multicast or number.is_unspecified:
        return False
    return number.is_private or number.is_loopback or number in _SHARED
