"""Write the tables of docs/results.md from docs/results/*.json, or check that the page agrees with these files.

With --from-model, write such a file instead: the out-of-fold scores of a trained model and how they were made.
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

from deepcue.cli import generated_pages
from features.errors import InputError

EXAMPLE = """deepcue results --check
  deepcue results --from-model artifacts/model --name mine --protocol "unseen identities" --data-set "my clips\""""

PAGE = Path("docs") / "results.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write")
    parser.add_argument(
        "--data", type=Path, help="folder of the JSON files (default: the page's path without its suffix)"
    )
    parser.add_argument("--check", action="store_true", help="only check that the page is up to date")
    parser.add_argument("--from-model", type=Path, metavar="FOLDER", help="write the scores of this model to NAME.json")
    parser.add_argument("--name", help="name of the table to write")
    parser.add_argument("--protocol", help="how training and test clips were kept apart; see docs/results.md")
    parser.add_argument("--data-set", default="", help="short description of the clips")
    parser.add_argument("--title", default="", help="title of the table (default: its name)")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    from reports.results_page import filled, read_results

    data = arguments.data or arguments.page.with_suffix("")
    if arguments.from_model:
        _add_model(arguments, data)
        return
    try:
        page = arguments.page.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{arguments.page}: can't be read ({error}); give --page") from error
    text = filled(page, read_results(data))
    generated_pages.write_or_check(arguments.page, text, check=arguments.check, command="make docs")


def _add_model(arguments: argparse.Namespace, data: Path) -> None:
    from deepcue import __version__
    from ensemble.store import load_model
    from reports.results_page import check_name, of_model, write_results

    if not arguments.name or not arguments.protocol:
        raise InputError("--from-model needs --name and --protocol; give both")
    check_name(arguments.name)
    try:
        table = of_model(
            load_model(arguments.from_model).manifest,
            title=arguments.title or arguments.name,
            protocol=arguments.protocol,
            data=arguments.data_set,
            command=f"deepcue results --from-model {arguments.from_model}",
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            version=__version__,
            notes=[],
        )
    except ValueError as error:
        raise InputError(f"--protocol: {error}") from error
    file = data / f"{arguments.name}.json"
    try:
        data.mkdir(parents=True, exist_ok=True)
        write_results(table, file)
    except OSError as error:
        raise InputError(f"{file}: can't be written ({error})") from error
    print(f"{file}: show it by `<!-- table: {arguments.name} -->` and `<!-- end -->` in {arguments.page}")
