"""An HTTP server whose clients may leave before they are answered."""

from __future__ import annotations

import sys
from http.server import ThreadingHTTPServer
from typing import Any

__all__ = ["LeavableServer"]


class LeavableServer(ThreadingHTTPServer):
    """Who warms a connection up, or is cancelled, hangs up as soon as it knows enough: that is no
    error here, and is not to end up in the output of whichever test runs by then."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
