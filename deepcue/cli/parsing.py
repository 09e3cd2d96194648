"""The parser of a subcommand's words, and its help."""

from __future__ import annotations

import argparse
import copy
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from deepcue.cli.flags import output_file
from deepcue.cli.terminal import wrapped
from features.errors import InputError
from features.places import check_is_no_input


class Parser(argparse.ArgumentParser):
    """An argument parser with one-line errors, like all errors of this program, and with plain help."""

    def format_help(self) -> str:
        """Format the help; see :func:`plain`."""
        return plain(super().format_help())

    def error(self, message: str) -> NoReturn:
        """Raise the message with a reference to the help.

        Raises
        ------
        InputError
            Always; :func:`deepcue.cli.error_boundary.guarded` prints it.
        """
        raise InputError(f"{message}; see `{self.prog} --help`")

    def parsed(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the words after the subcommand; a file whose name begins with a dash gets its own hint.

        Raises
        ------
        InputError
            The words can't be parsed, or an output file is also an input.
        """
        try:
            arguments = self.parse_args(words)
        except InputError as error:
            options = words[: words.index("--")] if "--" in words else words
            for word in options:
                if word.startswith("-") and os.path.exists(word):
                    raise InputError(f"{word} looks like an option; write ./{word} for the file") from error
            raise
        self._check_outputs(arguments)
        return arguments

    def _check_outputs(self, arguments: argparse.Namespace) -> None:
        """Refuse an :func:`~deepcue.cli.flags.output_file` that a path option or a positional argument also names.

        An output that would replace a clip of a folder or manifest that such an argument names is refused as well.
        """
        inputs: list[str | Path] = []
        for action in self._actions:
            if action.type is Path or not (action.option_strings or action.type):
                value = getattr(arguments, action.dest, None)
                inputs += value if isinstance(value, list) else [value] if value else []
        for action in self._actions:
            if action.type is output_file and (out := getattr(arguments, action.dest)):
                from extract.output_places import check_keeps_clips  # with what a command that writes loads anyway

                check_is_no_input(out, inputs)
                check_keeps_clips(out, inputs)


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help in one style: the default of every option as ``(default: x)``, names of values in capitals."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = re.sub(r"\((%\(default\)[sg]\))", r"(default: \1", action.help or "")
        is_silent = action.default is None or action.default is False or action.default in ("", argparse.SUPPRESS, [])
        if is_silent or not action.option_strings or "(default" in text or "%(default)" in text:
            return text
        return f"{text} (default: {'%(default)g' if isinstance(action.default, float) else '%(default)s'})"

    def _expand_help(self, action: argparse.Action) -> str:
        shown = copy.copy(action)
        if isinstance(shown.default, (list, tuple)):
            shown.default = ",".join(map(str, shown.default))
        return super()._expand_help(shown)

    def _get_default_metavar_for_positional(self, action: argparse.Action) -> str:
        return action.dest.upper()

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        r"""Fill paragraphs to the terminal's width; one with an indented line, such as an example, stays as it is.

        >>> print(HelpFormatter("deepcue")._fill_text("One\ntwo\nthree.\n\nexample:\n  deepcue serve", 9, ""))
        One two
        three.
        <BLANKLINE>
        example:
          deepcue serve
        """
        return "\n\n".join(_filled(paragraph, width, indent) for paragraph in text.strip("\n").split("\n\n"))


def plain(text: str) -> str:
    """Return a docstring or help text for readers: Sphinx roles and double backquotes become single backquotes.

    >>> plain("see :func:`~extract.pipeline.extract` and ``--jobs``")
    'see `extract` and `--jobs`'
    """
    text = re.sub(r":\w+(?::\w+)?:`(?:~[\w.]*?(?=\w+`))?([^`]+)`", r"`\1`", text)
    return re.sub(r"(?<!`)``(?!`)(.+?)(?<!`)``(?!`)", r"`\1`", text, flags=re.DOTALL)


def _filled(paragraph: str, width: int, indent: str) -> str:
    lines = paragraph.splitlines()
    if any(line.startswith(" ") for line in lines):
        return "\n".join(indent + part for line in lines for part in _item(line, width - len(indent)))
    return "\n".join(wrapped(" ".join(lines), width, first=indent))


def _item(line: str, width: int) -> list[str]:
    """Break the text of a list of names and texts in its own column; another line stays as it is."""
    item = re.fullmatch(r"( +\S+ {2,})(\S.*)", line)
    return wrapped(item[2], width, first=item[1], rest=" " * len(item[1])) if item else [line]
