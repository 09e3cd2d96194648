"""Folds of the speech detector: each leaves out people, or whole pages with their systems and people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.voice.data import Voice, systems

N_PEOPLE_FOLDS = 4


@dataclass(frozen=True)
class Fold:
    """A fold of the voices.

    Attributes
    ----------
    name : str
        Name of the page that the fold leaves out, or ``people<n>``.
    trained : ndarray of shape (n,)
        True for the voices that the fold's model may be trained on.
    scored : ndarray of shape (n,)
        True for the voices that the fold's model scores; every voice is scored in one fold only.
    """

    name: str
    trained: NDArray[np.bool_]
    scored: NDArray[np.bool_]


def fold_numbers(folds: Sequence[Fold]) -> NDArray[np.int64]:
    """Return the number [n] of the fold that scores each voice; -1 where there is none."""
    numbers = np.full(len(folds[0].scored), -1)
    for number, fold in enumerate(folds):
        numbers[fold.scored] = number
    return numbers


def by_pages(voices: Sequence[Voice], seed: int) -> list[Fold]:
    """Make one fold per page of synthetic speech; it leaves out the page, its people, and systems of the same names.

    The fold's bona fide voices are those of the page's people, and those of further groups, which are distributed so
    that all folds have about the same number; ``seed`` shuffles these groups.
    """
    page, group = (np.array([getattr(voice, name) for voice in voices]) for name in ("page", "group"))
    synthetic, system = np.array([voice.synthetic for voice in voices]), systems(voices)
    pages = sorted(set(page[synthetic].tolist()))
    home = {}
    for name in sorted(set(group[synthetic].tolist())):
        home[name] = pages.index(Counter(sorted(page[(group == name) & synthetic].tolist())).most_common(1)[0][0])
    counts = [sum(home.get(name) == fold for name in group[~synthetic].tolist()) for fold in range(len(pages))]
    home |= _dealt([name for name in group.tolist() if name not in home], counts, seed)
    fold_of_voice = np.array([home[name] for name in group.tolist()])
    folds = []
    for number, name in enumerate(pages):
        out = page == name
        left = (fold_of_voice == number) | np.isin(group, group[out]) | np.isin(system, system[out])
        folds.append(Fold(name, ~left, np.where(synthetic, out, fold_of_voice == number)))
    return folds


def by_people(voices: Sequence[Voice], seed: int) -> list[Fold]:
    """Make :data:`N_PEOPLE_FOLDS` folds of similar size, with every group in one fold; ``seed`` shuffles the groups."""
    group = [voice.group for voice in voices]
    fold_of = _dealt(group, [0] * N_PEOPLE_FOLDS, seed)
    numbers = np.array([fold_of[name] for name in group])
    return [Fold(f"people{number}", numbers != number, numbers == number) for number in range(N_PEOPLE_FOLDS)]


def _dealt(groups: Sequence[str], counts: list[int], seed: int) -> dict[str, int]:
    """Assign each group, largest first, to the fold with the fewest voices; ``counts`` are the initial numbers."""
    size = Counter(groups)
    shuffled = np.random.default_rng(seed).permutation(sorted(size)).tolist() if size else []
    counts, fold_of = [*counts], {}
    for name in sorted(shuffled, key=lambda group: -size[group]):
        fold_of[name] = int(np.argmin(counts))
        counts[fold_of[name]] += size[name]
    return fold_of
