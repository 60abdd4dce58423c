"""The interface's schema (OpenAPI 3.1): what the framework makes of the handlers and their attrs
classes, with what only we know: descriptions and bounds of fields, and what the gate answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs

from ..config import options
from . import models
from .gate import OPEN, SDP_PATHS
from .problems import MEDIA_TYPE, ProblemDetails

__all__ = ["completed"]

_REQUESTS: Final = (
    models.StartRequest,
    models.ConfigRequest,
    models.ResetRequest,
    models.StopRequest,
)

_OF_THE_GATE: Final = {
    "400": "The request is not what is asked for here.",
    "401": "The token is missing, or wrong.",
    "403": "A page of another origin asks.",
    "421": "The service was called by a name that is not its own.",
    "503": "Too many are connected.",
}
_OF_THE_GATE_WITH_BODY: Final = {
    "408": "The body comes too slowly.",
    "413": "The body is too long.",
    "415": "The body is not JSON.",
}
_SSE: Final = "text/event-stream"
_SDP: Final = {"application/sdp": {"schema": {"type": "string", "pattern": "^v=0"}}}


def completed(made: dict[str, Any]) -> dict[str, Any]:
    """``made`` by the framework, completed in place."""
    schemas = made["components"]["schemas"]
    for cls in _classes():
        if cls.__name__ in schemas:
            _describe(schemas[cls.__name__], cls)
    _bound(schemas["ConfigRequest"])
    for path, operations in made["paths"].items():
        for operation in operations.values():
            _complete(path, operation)
    made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    made["security"] = [{"token": []}]
    return made


def _classes() -> Iterator[type[Any]]:
    yield ProblemDetails
    for name in models.__all__:
        yield getattr(models, name)


def _describe(schema: dict[str, Any], cls: type[Any]) -> None:
    schema["description"] = " ".join((cls.__doc__ or "").split())
    for attribute in attrs.fields(cls):
        if doc := attribute.metadata.get("doc"):
            given = schema["properties"][attribute.name]
            if "$ref" in given:
                given = schema["properties"][attribute.name] = {"allOf": [given]}
            given["description"] = doc
            given |= attribute.metadata.get("schema", {})
    if cls in _REQUESTS:
        schema["additionalProperties"] = False


def _bound(schema: dict[str, Any]) -> None:
    """The settings, as the configuration bounds them."""
    known = {option.key.rpartition(".")[2]: option for option in options() if option.about["live"]}
    for name, option in known.items():
        about = option.about
        one: dict[str, Any] = {"type": "string"}
        if option.kind is float:
            one = {"type": "number", "minimum": about["minimum"], "maximum": about["maximum"]}
        elif about["choices"]:
            one["enum"] = list(about["choices"])
        elif option.kind is not str:
            said = {"type": "string", "pattern": r"\p{L}"}  # what can be said has a letter
            one = {"type": "array", "items": said, "minItems": about["minimum"]}
        unit = f" ({about['unit']})" if about["unit"] else ""
        schema["properties"][name] = {
            "oneOf": [one, {"type": "null"}],
            "description": f"{about['doc']}{unit}",
        }


def _complete(path: str, operation: dict[str, Any]) -> None:
    operation.pop("deprecated", None)
    operation["description"] = " ".join(operation["description"].split())
    for parameter in operation.get("parameters", ()):
        parameter.pop("deprecated", None)
        parameter["schema"].pop("description", None)
    if is_open := path in OPEN:
        operation["security"] = []
    added = {k: v for k, v in _OF_THE_GATE.items() if not (is_open and k in ("401", "503"))}
    takes_offer = path.endswith(SDP_PATHS)
    if takes_offer:
        added |= {**_OF_THE_GATE_WITH_BODY, "415": "The body is not an offer."}
        operation["requestBody"] = {"required": True, "content": _SDP}
    elif (body := operation.get("requestBody")) is not None:
        added |= _OF_THE_GATE_WITH_BODY
        content = body["content"]["application/json"]
        # A body that may be left out is written as one that may be null; it may be both.
        body["required"] = "oneOf" not in content["schema"]
    responses = operation["responses"]
    responses.pop("400", None)
    for status, about in added.items():
        responses.setdefault(status, {"description": about})
    for status, response in responses.items():
        if int(status) >= 400:
            content = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
            response["content"] = {MEDIA_TYPE: content}
        response.pop("headers", None)
    if path.endswith("/events"):
        responses["200"]["content"] = {_SSE: {"schema": {"type": "string"}}}
        responses["204"] = {"description": "The session has ended, and all of it was seen."}
    if takes_offer:
        responses["201"] = {"description": "The answer to the offer.", "content": _SDP}
    if "501" in responses:
        responses.pop("200")
    if path == "/metrics":
        responses["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    operation["responses"] = dict(sorted(responses.items()))
