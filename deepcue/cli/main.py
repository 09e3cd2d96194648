"""Is this clip a deepfake? Measure clips, train a calibrated ensemble on the measurements, and predict."""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from collections.abc import Sequence
from typing import Any

from deepcue.cli.common import Parser, guarded

COMMANDS = {
    "predict": "the probability that a clip is fake, and why",
    "extract": "measure a data set: one row for each clip",
    "train": "train the calibrated ensemble on a feature table",
    "submit": "predict a test folder and write a submission file",
    "report": "report.html of a trained model",
    "ablate": "what each cue family adds, by leaving it out",
    "tune": "search the hyper-parameters of the learners",
    "compare": "scikit-learn's StackingClassifier on the same folds",
    "cues": "the catalogue of cues",
    "norms": "how each cue is spread over genuine clips",
    "coverage": "clips in which no face was followed",
    "stills": "measure single-frame cues on labelled face crops",
    "import-csv": "a feature table of numbers that were measured elsewhere",
    "forge": "make labelled fakes from real clips",
    "demo-data": "a small synthetic data set",
    "summary": "where a run's files are, and its out-of-fold log loss",
    "train-faces": "train the networks that judge faces",
    "train-voice": "train the model that judges speech",
    "oof": "replace network columns by out-of-fold ones",
    "face-scores": "score face networks on clips",
    "still-scores": "score face networks on labelled stills",
    "average": "average the weights of several networks",
}
"""Subcommand to its line in the help; each is the module of the same name, imported only when it is asked for."""


def command_module(name: str) -> Any:
    """The module of a subcommand."""
    return importlib.import_module(f"deepcue.cli.{name.replace('-', '_')}")


def command_parser(name: str) -> argparse.ArgumentParser:
    """The parser of a subcommand, with its docstring and example as the help."""
    module = command_module(name)
    parser = Parser(
        prog=f"deepcue {name}",
        description=inspect.getdoc(module),
        epilog=f"example:\n  {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return parser


def usage() -> str:
    """The help of ``deepcue`` itself."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {line}" for name, line in COMMANDS.items()]
    closing = "`deepcue SUBCOMMAND --help` shows the options and an example; `deepcue --version` the version."
    head = ["usage: deepcue SUBCOMMAND ...", "", inspect.cleandoc(__doc__ or ""), "", "subcommands:"]
    return "\n".join([*head, *lines, "", closing])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 done, 1 a fault of this program, 2 the user's input."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from deepcue import __version__

        print(f"deepcue {__version__}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"error: no subcommand is called {name!r}; `deepcue --help` lists them", file=sys.stderr)
        return 2
    if not hasattr(command_module(name), "run"):
        return int(command_module(name).main(rest))

    def run() -> int | None:
        parser = command_parser(name)
        return command_module(name).run(parser.parse_args(rest))

    return guarded(run)


if __name__ == "__main__":
    raise SystemExit(main())
