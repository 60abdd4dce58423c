"""``maestra serve``: lessons held for others, over HTTP.

The service process speaks HTTP, judges what it is asked, and keeps watch. Each session is held by a
runner, a process and a process group of its own (``runner``); the two speak JSON lines over a
socket (``lines``). So whatever happens to one session, the others keep every frame. The service
itself loads no model.

``server`` is the whole of it; ``gate`` is what every request passes; ``api`` answers; ``sessions``
keeps the sessions and ``lesson`` each of them. ``page`` is the console's, whose files are in the
folder ``console``, and ``visits`` lets browsers in that have no token.
"""
