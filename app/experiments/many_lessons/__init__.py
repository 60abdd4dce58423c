"""Many lessons in one service, as a coordinator, students and viewers see them.

``python -m maestra.app.experiments.many_lessons together --lessons 8`` starts so many at once,
plays the demo lesson into each that is admitted, and counts from what is published how many
seconds of each had 24 frames. ``… cycles --cycles 200`` starts and stops lessons one after another,
and says what they left behind. Both run ``maestra serve`` as a process of its own, and see it from
outside.
"""
