"""What the handlers share: how they get at sessions, and how they ask one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from litestar import MediaType
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import PathParameter, SkipValidation

from ..config import ConfigError
from .lesson import Lesson, LessonError
from .problems import Problem, ProblemDetails
from .sessions import Sessions, over

__all__ = ["SessionId", "SessionsHere", "ask", "problem", "wrong_value"]

SessionsHere = NamedDependency[SkipValidation[Sessions]]
SessionId = Annotated[str, PathParameter(description="the session's id")]


def problem(about: str) -> ResponseSpec:
    """That an answer may be a problem, for the schema."""
    return ResponseSpec(
        data_container=ProblemDetails,
        description=about,
        generate_examples=False,
        media_type=MediaType.JSON,
    )


async def ask(lesson: Lesson, do: str, **arguments: object) -> Mapping[str, Any]:
    """Have a session do something.

    :raises Problem: it is over, refuses, or does not answer.
    """
    try:
        return await lesson.ask(do, **arguments)
    except LessonError as error:
        if lesson.is_over or error.kind == "SessionOver":
            raise over(lesson) from None
        if error.kind == ConfigError.__name__:
            raise wrong_value(str(error)) from None
        raise Problem(
            503,
            "no-answer",
            f"{str(error).rstrip('.')}: try again, or stop it.",
            headers={"Retry-After": "5"},
        ) from None


def wrong_value(text: str) -> Problem:
    """A setting may not be what it was to be."""
    text = text.removeprefix("conversation.")
    return Problem(422, "value-not-allowed", f"{text[:1].upper()}{text[1:]}.")
