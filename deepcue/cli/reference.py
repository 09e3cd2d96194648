"""Write docs/cli-reference.md and docs/api.md from the parsers and docstrings, or check that they are up to date.

``python -m deepcue.cli.reference [--check]``; what ``make docs`` and ``make lint`` run.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import deepcue
from deepcue.cli import error_boundary, generated_pages, parsing
from deepcue.cli.main import COMMANDS, command_parser, usage
from features import errors
from features.errors import DeepcueError

DOCS = Path("docs")
WIDTH = 100  # of the help, whatever the terminal
MADE = "<!-- made by `make docs`; do not edit -->"


def command_page() -> str:
    """Return the help of ``deepcue`` and of each subcommand."""
    parts = ["# Command line", MADE, _block(usage())]
    for name in COMMANDS:
        parser = command_parser(name)
        parser.formatter_class = functools.partial(parsing.HelpFormatter, width=WIDTH)
        parts += [f"## deepcue {name}", _block(parser.format_help().rstrip())]
    return "\n\n".join(parts) + "\n"


def api_page() -> str:
    """Return the public names of :mod:`deepcue` with their docstrings."""
    parts = ["# Python", MADE, *_paragraphs(deepcue)]
    public = {name: getattr(deepcue, name) for name in deepcue.__all__ if not name.startswith("__")}
    for name, one in public.items():
        if inspect.isfunction(one):
            parts += [f"## deepcue.{name}", _block(f"{name}{_plain_signature(one)}\n\n{inspect.getdoc(one)}")]
    for name, one in public.items():
        if inspect.isclass(one) and not issubclass(one, DeepcueError):
            parts += [f"## deepcue.{name}", _block("\n\n".join(filter(None, [inspect.getdoc(one), _attributes(one)])))]
    parts += ["## Errors", _block(inspect.getdoc(errors) or "")]
    parts += [f"- `deepcue.{name}`: {_sentence(one)}" for name, one in public.items() if _is_error(one)]
    return parsing.plain("\n\n".join(parts).replace("\n\n- `", "\n- `") + "\n")


def pages(folder: Path) -> dict[Path, str]:
    """File to content."""
    return {folder / "cli-reference.md": command_page(), folder / "api.md": api_page()}


def write_or_check(files: Mapping[Path, str], *, check: bool) -> None:
    """Write the pages, or compare them; see :func:`deepcue.cli.generated_pages.write_or_check`."""
    for file, text in files.items():
        generated_pages.write_or_check(file, text, check=check, command="make docs")


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check the pages below the current folder."""
    words = sys.argv[1:] if argv is None else list(argv)
    return error_boundary.guarded(lambda: write_or_check(pages(DOCS), check=words == ["--check"]))


def _block(text: str) -> str:
    return f"```text\n{text}\n```"


def _paragraphs(module: Any) -> list[str]:
    """A module's docstring in Markdown; what follows ``::`` is code."""
    before, _, after = (inspect.getdoc(module) or "").partition("\n\n::\n\n")
    lines = after.splitlines()
    code = list(itertools.takewhile(lambda line: not line or line.startswith("    "), lines))
    block = textwrap.dedent("\n".join(code)).strip()
    return [before, f"```python\n{block}\n```", "\n".join(lines[len(code) :])]


def _attributes(cls: type) -> str:
    """The fields of a class that are documented by a string below each, as a section of a docstring; empty without."""
    (body,) = (
        node.body for node in ast.parse(textwrap.dedent(inspect.getsource(cls))).body if isinstance(node, ast.ClassDef)
    )
    entries, documented = [], False
    for node, following in itertools.zip_longest(body, body[1:]):
        if isinstance(node, ast.AnnAssign):
            text = _string(following)
            documented = documented or bool(text)
            entries.append(f"{ast.unparse(node.target)} : {ast.unparse(node.annotation)}")
            entries += [textwrap.indent(text, "    ")] if text else []
    return "\n".join(["Attributes", "----------", *entries]) if documented else ""


def _string(node: ast.stmt | None) -> str:
    """Return the text of a statement that is a string alone, as of a docstring; empty for another."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return ""


def _plain_signature(function: Any) -> inspect.Signature:
    """Without types, which the docstring gives in words."""
    signature = inspect.signature(function)
    plain = [one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()]
    return signature.replace(parameters=plain, return_annotation=inspect.Signature.empty)


def _is_error(one: Any) -> bool:
    return inspect.isclass(one) and issubclass(one, DeepcueError)


def _sentence(one: Any) -> str:
    return (inspect.getdoc(one) or "").partition("\n")[0]


if __name__ == "__main__":
    raise SystemExit(main())
