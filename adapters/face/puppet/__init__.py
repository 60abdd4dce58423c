"""The puppet face: a portrait warped by its mesh, its mouth driven by the sound itself."""

from __future__ import annotations

from .puppet import Puppet

__all__ = ["Puppet"]
