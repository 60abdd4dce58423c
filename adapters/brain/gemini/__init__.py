"""Gemini Live: a brain that hears the student and speaks the answer itself, over one connection."""
