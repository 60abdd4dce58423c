"""The puppet face: a portrait warped by its mesh, its mouth driven by the sound itself."""

from __future__ import annotations

from .mesh import Eye, Mesh
from .portraits import find_mesh, open_portrait
from .puppet import Puppet

__all__ = ["Eye", "Mesh", "Puppet", "find_mesh", "open_portrait"]
