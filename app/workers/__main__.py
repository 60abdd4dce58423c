"""The door of a worker process: ``python -m maestra.app.workers NAME CONTROL_FD [FD…]``."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from multiprocessing.connection import Connection

from maestra.ports.errors import leaves

_GONE = (EOFError, BrokenPipeError, ConnectionResetError)

_WORKERS = ("ingest", "hearing", "music", "speaker", "playout", "browsers")


def main(arguments: list[str]) -> int:
    name, *fds = arguments
    if name not in _WORKERS:
        raise SystemExit(f"no such worker: {name}")
    # One thread per model: two cores are shared by six processes, and a pool that spins steals
    # the time in which the next picture is due.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control, *pipes = (Connection(int(fd)) for fd in fds)
    try:
        settings = control.recv()
        importlib.import_module(f"maestra.app.workers.{name}").run(control, *pipes, settings)
    except BaseException as error:
        # The session, or the worker beside, has gone: it may be told from several tasks at once.
        if all(isinstance(leaf, _GONE) for leaf in leaves(error)):
            return 0
        raise
    return 0


if __name__ == "__main__":
    # Native model threads need not be joined: the work is done, and a hung one must not keep us.
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
