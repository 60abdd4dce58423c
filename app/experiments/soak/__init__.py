"""A long lesson whose connections drop at random, and what became of it.

A real nginx stands where a meeting bot's server does. A student is published to it, `maestra serve`
is told by its HTTP calls to pull that and to publish the teacher back, and a viewer records her.
Meanwhile the student's connection and the teacher's are dropped, the student's machine stalls, and
the server is killed and started again, when and for how long a seed says.
"""
