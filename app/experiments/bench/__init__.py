"""The bench: how good Maestra is, measured from the outside.

``python -m maestra.app.experiments.bench`` runs the product as a user would, as a process of its
own, plays lessons into it whose truth is known, records what comes out, and measures that.
``docs/how-to/measure.md`` says what each figure means and between which instants it is taken.
"""
