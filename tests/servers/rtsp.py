"""A real RTSP server, GStreamer's, as a program for the Python that Debian's bindings are of::

    /usr/bin/python3 rtsp.py PORT STUDENT.flac TEACHER.mkv

``/student`` is played from the first file to whoever comes; what is recorded to ``/teacher`` goes
to the second. It says ``ready`` once it listens.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PLAYED = (
    "( filesrc location={} ! flacparse ! flacdec ! audioconvert ! audioresample"
    " ! rtpL16pay name=pay0 pt=96 )"
)
RECORDED = (
    "( rtph264depay name=depay0 ! h264parse ! matroskamux name=mux ! filesink location={}"
    " rtpmp4gdepay name=depay1 ! aacparse ! mux. )"
)


def main(port: str, student: str, teacher: str) -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    mounts = server.get_mount_points()
    for name, launch, mode in (
        ("/student", PLAYED.format(student), GstRtspServer.RTSPTransportMode.PLAY),
        ("/teacher", RECORDED.format(teacher), GstRtspServer.RTSPTransportMode.RECORD),
    ):
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_transport_mode(mode)
        factory.set_launch(launch)
        mounts.add_factory(name, factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
