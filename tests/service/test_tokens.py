"""The bearer token."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from maestra.app.service.tokens import VARIABLE, TokenError, default_file, matches, token

GOOD = "0123456789abcdef"


def test_a_token_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "service-token"
    made, where = token(path, {})

    assert len(made) >= 32 and where == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert token(path, {}) == (made, where)
    assert token(path, {VARIABLE: GOOD}) == (GOOD, "the environment")


def test_a_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(GOOD)
    path.chmod(0o640)
    with pytest.raises(TokenError, match="chmod 600"):
        token(path, {})

    path.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert token(path, {})[0] == GOOD
    with pytest.raises(TokenError):
        token(link, {})
    os.mkfifo(tmp_path / "pipe", 0o600)


@pytest.mark.parametrize("text", ["", "short", "has spaces in it, and is long", "é" * 20])
def test_a_weak_token_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(TokenError, match="at least 16"):
        token(tmp_path / "none", {VARIABLE: text})


def test_what_matches() -> None:
    assert matches(f"Bearer {GOOD}".encode(), GOOD)
    assert matches(f"bearer  {GOOD} ".encode(), GOOD)
    for wrong in (None, b"", b"Bearer", b"Bearer ", b"Basic " + GOOD.encode(), GOOD.encode()):
        assert not matches(wrong, GOOD)
    assert not matches(b"Bearer \xff\xfe", GOOD)


def test_where_it_is_kept() -> None:
    assert default_file({"XDG_STATE_HOME": "/s"}) == Path("/s/maestra/service-token")
    assert default_file({}).parts[-4:] == (".local", "state", "maestra", "service-token")
