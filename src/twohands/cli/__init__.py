"""The command line: `twohands demo | predict | run | doctor | convert | convert-hands | convert-results | info |
synth | train | evaluate | experiment | export | bench | data | submit`; one file for each command.

Heavy imports are inside the commands, so that `--help` and `--version` are fast. Exit codes: 0 all fine, 1 a check has
findings, 2 bad arguments or nothing usable, 3 some frames failed, 130 interrupted.
"""

from __future__ import annotations

import inspect
import io
import logging
import re
import sys
from collections.abc import Callable, Sequence

from twohands import __version__
from twohands.cli.common import BAD, FINE, INTERRUPTED

EXTRA_OF = {"numba": "synth", "onnx": "tools", "onnxscript": "tools"}
EXTRA_OF |= dict.fromkeys(("torch", "timm", "safetensors", "accelerate", "tensorboard"), "train")
"""The extra that installs each optional dependency."""
RENAMED = {
    "--weights": "--network FOLDER (of train: --mix)",
    "--checkpoint": "--network FOLDER, with --no-fit to measure the network alone",
    "--rivals": "--baselines",
    "--trunk": "`twohands experiment`, which trains on frozen backbones",
    "--trunk-minutes": "--backbone-minutes",
}
"""Options of earlier versions and their replacements."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a character must not end the work
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        print(f"twohands {__version__}")
        return FINE
    logging.basicConfig(format="%(message)s")  # on stderr, like progress
    logging.getLogger("twohands").setLevel(logging.INFO)
    try:
        return _command(arguments)
    except KeyboardInterrupt:
        print("twohands: interrupted", file=sys.stderr)
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if error.name not in EXTRA_OF:
            raise
        return _complain(f"this command needs {error.name}; run pip install 'twohands[{EXTRA_OF[error.name]}]'")
    except BrokenPipeError:  # the reader of the output, for example `head`, has closed it
        sys.stdout = None
        return FINE
    except (ValueError, OSError, FloatingPointError) as error:
        return _complain(str(error))


def _complain(message: str) -> int:
    print(f"twohands: error: {message}", file=sys.stderr)
    return BAD


def _command(arguments: list[str]) -> int:
    for option in (argument.partition("=")[0] for argument in arguments):
        if option in RENAMED:
            raise ValueError(f"{option} is no longer an option; use {RENAMED[option]}")
    import tyro

    from twohands.cli.bench import bench
    from twohands.cli.convert import convert
    from twohands.cli.convert_hands import convert_hands
    from twohands.cli.convert_results import convert_results
    from twohands.cli.data import data
    from twohands.cli.demo import demo
    from twohands.cli.doctor import doctor
    from twohands.cli.evaluate import evaluate
    from twohands.cli.experiment import experiment
    from twohands.cli.export import export
    from twohands.cli.info import info
    from twohands.cli.predict import predict
    from twohands.cli.run import run
    from twohands.cli.submit import submit
    from twohands.cli.synth import synth
    from twohands.cli.train import train

    app = tyro.extras.SubcommandApp()
    of_frames = (demo, predict, run, doctor, convert, convert_hands, convert_results, info)
    for command in (*of_frames, synth, train, evaluate, experiment, export, bench, data, submit):
        app.command(_with_flowing_help(command))
    try:
        return app.cli(
            prog="twohands",
            description="Reconstruct both hands as metric meshes from RGB-D frames. "
            "`twohands COMMAND --help` lists the options of a command.",
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes, tyro.conf.CascadeSubcommandArgs),
        )
    except SystemExit as leaving:  # tyro has printed its help or its complaint
        return leaving.code if isinstance(leaving.code, int) else FINE


def _with_flowing_help(command: Callable[..., int]) -> Callable[..., int]:
    """Return a command whose docstring has one line per paragraph and argument, for the help to wrap."""
    text = inspect.cleandoc(command.__doc__ or "")
    command.__doc__ = re.sub(r"(?<=[^\n])\n(?: {8})?(?=\S)", " ", text)
    return command
