"""Where a browser may reach a service: where it listens, and nowhere else."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

pytest.importorskip("ifaddr")

from maestra.app.composition import streams


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("::1", ["127.0.0.1", "::1"]),
        ("192.0.2.7", ["192.0.2.7", "127.0.0.1"]),
        ("no-such-host.invalid", ["127.0.0.1"]),
    ],
)
def test_where_it_listens(host: str, addresses: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(name: str, *_: Any, **__: Any) -> list[Any]:
        if name.endswith(".invalid"):
            raise socket.gaierror
        return [(0, 0, 0, "", (name, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert streams._addresses(host) == addresses


def test_everywhere_is_every_address_but_those_of_one_link() -> None:
    for host in ("0.0.0.0", "::"):
        found = [ipaddress.ip_address(one) for one in streams._addresses(host)]
        assert ipaddress.ip_address("127.0.0.1") in found
        assert not [one for one in found if one.is_link_local or one.is_unspecified]
        assert len(set(found)) == len(found)
    assert all("." in one for one in streams._addresses("0.0.0.0"))
