"""Is this clip a deepfake? Measure clips, train a calibrated ensemble on the measurements, and predict."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from deepcue import __version__
from deepcue.cli.error_boundary import DONE, INTERRUPTED, USER_ERROR, guarded
from deepcue.cli.parsing import HelpFormatter, Parser
from features.errors import InputError

SAFE_PATH = "PYTHONSAFEPATH"
GROUPS = {
    "Analyse": {
        "predict": "predict the probability that a clip is fake, and explain it",
        "serve": "serve a web page on this machine: drop clips on it, and see when, where and why",
        "submit": "predict a test folder and write a submission file",
        "extract": "measure the clips of a data set: one row per clip",
        "cues": "print the catalogue of cues",
        "coverage": "show how much of each clip has a tracked face",
    },
    "Train and evaluate": {
        "train": "train the calibrated ensemble on a feature table",
        "report": "write the HTML report of a trained model",
        "ablate": "measure what each cue family adds, by leaving it out",
        "tune": "search the hyper-parameters of the learners",
        "compare": "compare a model with scikit-learn's StackingClassifier on the same folds",
        "recalibrate": "set the scale and the bound of a model with a single learner",
        "unseen-scores": "score learners on unseen manipulations and identities",
        "import-csv": "build a feature table from cues that were measured elsewhere",
        "demo-data": "make a small synthetic data set",
    },
    "Train the networks": {
        "forge": "make labelled fakes from real clips",
        "train-faces": "train the networks that score faces",
        "train-voice": "train the detector of synthetic speech",
        "speak": "generate synthetic speech from text, to train on",
        "stills": "measure single-frame cues on labelled face crops",
        "oof": "replace network columns by out-of-fold ones",
        "stack-tables": "stack feature tables of the same columns",
        "fit-projection": "fit the projection of the face networks' embeddings",
        "fit-contrast": "fit the model that compares the texture of a face's regions",
        "face-scores": "score face networks on clips",
        "still-scores": "score face networks on labelled stills",
        "average": "average the weights of several networks",
    },
    "Maintain the repository of deepcue": {
        "norms": "compute the shipped norms: how each cue is distributed over genuine clips",
        "summary": "print the last lines of `make demo`: its files, and the out-of-fold log loss",
        "results": "write docs/results.md from its JSON files, or a model's scores as such a file",
    },
}
"""Maps each heading of the help to its subcommands, and each subcommand to its one-line description."""
COMMANDS = {name: line for commands in GROUPS.values() for name, line in commands.items()}
"""Maps each subcommand to its line in the help. The module of the same name is imported only when it is called."""


def command_module(name: str) -> Any:
    """Import and return the module of a subcommand."""
    return importlib.import_module(f"deepcue.cli.{name.replace('-', '_')}")


def command_parser(name: str) -> Parser:
    """Return the parser of a subcommand; the help is the module's docstring and example."""
    module = command_module(name)
    parser = Parser(
        prog=f"deepcue {name}",
        description=inspect.getdoc(module),
        epilog=f"example:\n  {module.EXAMPLE}",
        formatter_class=HelpFormatter,
    )
    module.add_arguments(parser)
    return parser


def usage() -> str:
    """Return the help of ``deepcue`` itself."""
    width = max(map(len, COMMANDS))
    lines = []
    for heading, commands in GROUPS.items():
        lines += ["", f"{heading}:", *(f"  {name:<{width}}  {line}" for name, line in commands.items())]
    closing = "`deepcue SUBCOMMAND --help` shows the options and an example, `deepcue --version` the version."
    head = ["usage: deepcue SUBCOMMAND ...", "", inspect.cleandoc(__doc__ or "")]
    return "\n".join([*head, *lines, "", closing])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; see :func:`deepcue.cli.error_boundary.guarded`."""
    words = list(sys.argv[1:] if argv is None else argv)
    with _safe_path():
        return guarded(lambda: _run(words))


def program() -> int:
    """Run :func:`main` as a program that an interrupt ends at once, even while threads of libraries are running.

    SIGTERM, which job queues and containers send, and SIGHUP, which a closed terminal sends, are handled as an
    interrupt: measuring processes end and temporary files are removed. Under ``nohup``, SIGHUP stays ignored.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    status = main()
    if status == INTERRUPTED and not _has_processes():
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(status)  # an orderly exit would wait for fits, or C++ would report threads that still run
    return status


def _has_processes() -> bool:
    """Whether joblib has started processes, whose locks only an orderly exit removes."""
    executors = sys.modules.get("joblib.externals.loky.reusable_executor")
    return getattr(executors, "_executor", None) is not None


@contextlib.contextmanager
def _safe_path() -> Iterator[None]:
    """Keep child processes from importing a ``features.py`` in the current folder."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before


def _run(words: Sequence[str]) -> int | None:
    name, *rest = words or [""]
    if name == "help" and rest:
        name, rest = rest[0], ["--help"]
    if name in {"", "-h", "--help", "help"}:
        print(usage())
        return DONE if name else USER_ERROR
    if name == "--version":
        print(f"deepcue {__version__}")
        return DONE
    if name not in COMMANDS:
        raise InputError(_unknown(name))
    module, arguments = command_module(name), command_parser(name).parsed(rest)
    try:
        return module.run(arguments)
    except KeyboardInterrupt as stop:
        kept = module.stopped(arguments) if hasattr(module, "stopped") else "nothing is kept"
        raise KeyboardInterrupt(kept) from stop


def _unknown(name: str) -> str:
    alike = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean `deepcue {alike[0]}`?" if alike else "`deepcue --help` lists them"
    if os.path.exists(name):
        hint = f"write `deepcue predict {shlex.quote(name)}` for a clip or a folder"
    return f"no subcommand is called {name!r}; {hint}"


def extract_all() -> int:
    """The console script ``extract-all``: ``deepcue extract``."""
    sys.argv.insert(1, "extract")
    return program()


if __name__ == "__main__":
    raise SystemExit(program())
