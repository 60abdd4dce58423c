"""For every test: Hypothesis tries the same examples each time; a busy machine is no failure; what
lives by the clock is marked, so that it can be run with the machine to itself, and held again where
the machine stood still."""

from __future__ import annotations

import os
from pathlib import Path

# As in the workers: threads that wait for one another beside others cost more than they save.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("maestra", deadline=None, derandomize=True)
settings.load_profile("maestra")

pytest_plugins = ["fakes.stood_still"]

_BY_THE_CLOCK = (
    "lessons/test_bad_answers.py",
    "lessons/test_cloud_chain.py",
    "lessons/test_demo.py",
    "lessons/test_failing_faces.py",
    "lessons/test_gemini_lesson.py",
    "lessons/test_whole_lessons.py",
    "service/test_meeting_bot.py",
    "service/test_real_lessons.py",
    "service/test_soak.py",
    "adapters/streams",
    "app/test_ingest_worker.py",
    "app/test_playout_worker.py",
    "app/test_speaker.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    places = [tests / place for place in _BY_THE_CLOCK]
    for item in items:
        lives_by_it = any(item.path == place or place in item.path.parents for place in places)
        if lives_by_it and item.get_closest_marker("virtual") is None:
            item.add_marker(pytest.mark.realtime)
