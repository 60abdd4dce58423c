"""Asks a service that runs for a link to its console: ``maestra console``."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from maestra.ports.errors import MaestraError

from . import tokens

__all__ = ["InvitationError", "invitation"]

_WITHIN: Final = 5.0
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Who listens everywhere is here, too."""


class InvitationError(MaestraError):
    """There is no service, or it wants another token. The text says which."""


def invitation(host: str, port: int, token_file: Path | None) -> str:
    """A link that lets one browser in.

    :raises MaestraError: nobody answers there, or refuses.
    """
    host = _ANY.get(host, host)
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    request = urllib.request.Request(f"{address}/console/link", data=b"", method="POST")
    path = token_file or tokens.default_file()
    if tokens.VARIABLE in os.environ or path.exists():
        request.add_header("Authorization", f"Bearer {tokens.token(path)[0]}")
    # Not by a proxy: it would see the token.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_WITHIN) as answer:
            return f"{address}{json.load(answer)['path']}"
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 401:
            text = f"the service at {address} has another token: name its file with --token-file"
        else:
            text = f"the service at {address} gives no link: it answers {error.code}"
        raise InvitationError(text) from None
    except (OSError, ValueError, KeyError) as error:
        raise InvitationError(
            f"no service answers at {address}: begin one with `maestra serve`, or say where it is"
            " with --host and --port"
        ) from error
