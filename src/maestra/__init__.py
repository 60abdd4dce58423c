"""Maestra: a music teacher that sits in on a lesson.

It listens to a live stream, stays silent until somebody says "Teacher, comment", and answers
aloud as a talking face with what it has really measured.
"""

from __future__ import annotations
