"""What a command says of clips that it could not measure, and of what an interrupted run keeps."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from features.errors import InputError
from features.file_names import printable

if TYPE_CHECKING:
    import pyarrow as pa

N_ERRORS = 5  # number of errors that the summary of a run shows
WITHOUT_FRESH = " without --fresh"  # with it, a run that is repeated measures every clip again


def failure_lines(table: pa.Table, *, fresh: bool = False) -> list[str]:
    """Return, for clips that could not be measured, the :data:`N_ERRORS` most frequent errors, each with an example.

    Errors that differ in numbers or the clip's name only are counted together. Empty if every clip was measured.
    ``fresh`` is whether the run measured every clip again.
    """
    from extract.pipeline import FAILURES
    from extract.run.engine import kind_of
    from extract.run.journal import RETRIED

    columns = ("status", "filename", "error")
    failed = [row for row in zip(*(table[name].to_pylist() for name in columns), strict=True) if row[0] in FAILURES]
    if not failed:
        return []
    kinds = [(status, kind_of(error, filename)) for status, filename, error in failed]
    examples = dict(zip(reversed(kinds), reversed(failed), strict=True))  # the first of each kind
    lines = [f"{len(failed)} {'clip' if len(failed) == 1 else 'clips'} could not be measured:"]
    counted = Counter(kinds).most_common(N_ERRORS)
    for kind, times in counted:
        status, filename, error = examples[kind]
        lines.append(printable(f"  {times} {status}: {error} ({filename}{', ...' if times > 1 else ''})"))
    if others := len(failed) - sum(times for _, times in counted):
        lines.append(f"  {others} with other errors, in the table's column error")
    if again := sum(status in RETRIED for status, _, _ in failed):
        command = f"run the same command again{WITHOUT_FRESH if fresh else ''}"
        lines.append(f"{command} to retry the {again} that crashed or ran out of time")
    return lines


def check_any_measured(table: pa.Table) -> None:
    """Raise an error if every clip of a run crashed or ran out of time.

    Raises
    ------
    InputError
        The table has rows, and all of them are of clips that the next run retries.
    """
    from extract.run.journal import RETRIED

    states = set(table.column("status").to_pylist())
    if states and states <= RETRIED:
        clips = "the clip is" if table.num_rows == 1 else f"all {table.num_rows} clips are"
        raise InputError(
            f"nothing was measured: {clips} {' or '.join(sorted(states))} "
            f"({table['error'][0].as_py()}); fix the cause and run the same command again"
        )


def goes_on(kept: object, *, fresh: bool = False) -> str:
    """Return the message of an interrupted run that the next run resumes from ``kept``."""
    return f"finished work is kept in {kept}; run the same command again{WITHOUT_FRESH if fresh else ''} to resume"
