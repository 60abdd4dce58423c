"""The command line's grammar. The reference page and the help texts are made from it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from attrs import frozen

__all__ = ["EXIT_CODES", "Grammar", "grammar"]

EXIT_CODES: Mapping[int, str] = {
    0: "all went well; also when you ended it yourself",
    2: "the command or the configuration makes no sense; a key is missing or not accepted",
    3: "an input or an output failed",
    4: "a model or a backend's package is missing, or a model is not the one that was pinned",
}
"""What the command's exit codes mean."""

_STREAMS = (
    "A file or an address: rtmp://, rtmps://, rtsp://, rtsps://. With ?listen=1 on an rtmp://"
    " address, the other side connects to us."
)


class _Parser(argparse.ArgumentParser):
    """Complains in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


@frozen
class Grammar:
    """The whole command's parser, and each subcommand's by name."""

    parser: argparse.ArgumentParser
    commands: Mapping[str, argparse.ArgumentParser]


def grammar() -> Grammar:
    """Build the parser."""
    parser = _Parser(
        prog="maestra",
        description="A music teacher that sits in on a lesson: it listens, waits to be asked, and"
        " answers aloud as a talking face with what it has really measured.",
        epilog="Exit codes: "
        + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())
        + ".",
    )
    parser.add_argument(
        "--version", action="version", version=f"maestra {metadata.version('maestra')}"
    )
    subparsers = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )
    commands: dict[str, argparse.ArgumentParser] = {}

    def command(name: str, description: str) -> argparse.ArgumentParser:
        short = description.partition(". ")[0].removesuffix(".")
        commands[name] = subparsers.add_parser(
            name, help=short[0].lower() + short[1:], description=description
        )
        return commands[name]

    lesson = command(
        "lesson",
        "Sit in on a lesson. Listens to INPUT, answers when asked, and puts picture and voice out"
        " as one stream. Ctrl-C ends it cleanly.",
    )
    lesson.add_argument("input", metavar="INPUT", help=f"What to listen to. {_STREAMS}")
    lesson.add_argument("--publish", metavar="OUT", help=f"Where the teacher goes. {_STREAMS}")
    _add_configuration(lesson)
    lesson.add_argument(
        "--persona", metavar="ID", help="Who teaches; `maestra personas` lists them."
    )
    lesson.add_argument(
        "--events", metavar="FILE", type=Path, help="Write the event log (JSON Lines) to FILE."
    )
    lesson.add_argument(
        "--pace",
        choices=("realtime", "fast"),
        default="realtime",
        help="As it sounds, or a file as fast as the machine can; the events are the same.",
    )

    analyse = command(
        "analyse",
        "Measure a recording, without a teacher. Prints what was measured and what is worth"
        " saying about it; of a damaged recording, as far as it can be heard.",
    )
    analyse.add_argument("file", metavar="FILE", help="A recording with sound.")
    analyse.add_argument("--json", action="store_true", help="Print JSON.")
    analyse.add_argument(
        "--plot",
        metavar="PNG",
        type=Path,
        help="Draw pitch, notes, beats, tempo and level.",
    )
    _add_configuration(analyse)

    demo = command(
        "demo",
        "See and hear it work. Plays a recorded lesson as a live stream into Maestra, records what"
        " comes out, and prints the latencies measured.",
    )
    demo.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        default=Path("out"),
        help="Where lesson.mp4, lesson.events.jsonl and lesson.latencies.txt go.",
    )
    _add_configuration(demo)

    serve = command(
        "serve",
        "Hold lessons for others, over HTTP. SIGTERM lets them end for a while, Ctrl-C stops them.",
    )
    serve.add_argument("--host", metavar="HOST", help="Where to listen: service.host.")
    serve.add_argument("--port", metavar="PORT", help="Where to listen: service.port.")
    serve.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        help="Where the token is; made if it is not there. Without it, MAESTRA_SERVICE_TOKEN or a"
        " file of your own.",
    )
    serve.add_argument(
        "--insecure", action="store_true", help="Ask for no token. On loopback only."
    )
    _add_configuration(serve)

    console = command(
        "console",
        "Print a link to the console of a service that runs here. It works once, within ten"
        " minutes.",
    )
    console.add_argument("--host", metavar="HOST", help="Where the service is: service.host.")
    console.add_argument("--port", metavar="PORT", help="Where the service is: service.port.")
    console.add_argument(
        "--token-file", metavar="FILE", type=Path, help="Where its token is, as for serve."
    )
    _add_configuration(console)

    capacity = command(
        "capacity",
        "Say how many lessons fit on this machine. Holds one, for half a minute, and sees what it"
        " takes; `maestra serve` admits no more than fit. Measure while nothing else runs.",
    )
    capacity.add_argument(
        "--again", action="store_true", help="Measure, even if that was done before."
    )
    capacity.add_argument("--json", action="store_true", help="Print JSON.")
    _add_configuration(capacity)

    doctor = command(
        "doctor",
        "Say what is installed, which models are there, and what is wrong. Says how to mend it,"
        " too.",
    )
    doctor.add_argument("--json", action="store_true", help="Print JSON.")
    _add_configuration(doctor)

    models = command(
        "models",
        "List the models, fetch those that no package carries, or import them from a folder."
        " Pickled weights are converted without running what is in them.",
    )
    models.add_argument(
        "action",
        metavar="ACTION",
        nargs="?",
        choices=("list", "fetch", "import", "check"),
        default="list",
        help="list (the default); fetch NAME from the model hub; import NAME FOLDER, which has the"
        " publisher's files somewhere below it; check NAME: load its weights into the network.",
    )
    models.add_argument("name", metavar="NAME", nargs="?", help="A model of the list.")
    models.add_argument(
        "folder", metavar="FOLDER", nargs="?", type=Path, help="Where to import it from."
    )
    models.add_argument("--json", action="store_true", help="Print the list as JSON.")

    personas = command("personas", "List who can teach.")
    personas.add_argument("--json", action="store_true", help="Print JSON.")

    config = command(
        "config", "Print the effective configuration. Says where each value came from."
    )
    config.add_argument("--json", action="store_true", help="Print JSON.")
    config.add_argument("--presets", action="store_true", help="List the presets instead.")
    _add_configuration(config)

    return Grammar(parser, commands)


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="A configuration file (TOML), or the name of a preset.",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="assignments",
        action="append",
        default=[],
        help="Set an option, for example conversation.window=15. May be given several times.",
    )
