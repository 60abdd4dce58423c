"""For every test: Hypothesis tries the same examples each time; a busy machine is no failure."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("maestra", deadline=None, derandomize=True)
settings.load_profile("maestra")
