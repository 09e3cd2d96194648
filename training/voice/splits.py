"""What a fold of the speech detector leaves out: people, or whole pages with their systems and people."""

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
    """One fold.

    Attributes
    ----------
    name : str
        The page that it leaves out, or ``people<n>``.
    trained : ndarray of shape (n,)
        True for the voices that its model may be trained on.
    judged : ndarray of shape (n,)
        True for those that it is judged by; every voice is judged in one fold alone.
    """

    name: str
    trained: NDArray[np.bool_]
    judged: NDArray[np.bool_]


def fold_numbers(folds: Sequence[Fold]) -> NDArray[np.int64]:
    """[n] number of the fold that each voice is judged in; -1 where it is in none."""
    numbers = np.full(len(folds[0].judged), -1)
    for number, fold in enumerate(folds):
        numbers[fold.judged] = number
    return numbers


def by_pages(voices: Sequence[Voice], seed: int) -> list[Fold]:
    """A fold for each page of synthetic speech: neither its systems, nor its people, nor a system of the same name.

    Its bona fide voices are those of the page's people, and of others whose groups are dealt out so that all folds have
    about as many; ``seed`` shuffles these.
    """
    page, group = (np.array([getattr(voice, name) for voice in voices]) for name in ("page", "group"))
    synthetic, system = np.array([voice.synthetic for voice in voices]), systems(voices)
    pages = sorted(set(page[synthetic].tolist()))
    home = {}
    for name in sorted(set(group[synthetic].tolist())):
        home[name] = pages.index(Counter(sorted(page[(group == name) & synthetic].tolist())).most_common(1)[0][0])
    counts = [sum(home.get(name) == fold for name in group[~synthetic].tolist()) for fold in range(len(pages))]
    home |= _dealt([name for name in group.tolist() if name not in home], counts, seed)
    own = np.array([home[name] for name in group.tolist()])
    folds = []
    for number, name in enumerate(pages):
        out = page == name
        left = (own == number) | np.isin(group, group[out]) | np.isin(system, system[out])
        folds.append(Fold(name, ~left, np.where(synthetic, out, own == number)))
    return folds


def by_people(voices: Sequence[Voice], seed: int) -> list[Fold]:
    """:data:`N_PEOPLE_FOLDS` folds of about as many voices, no group in two of them; ``seed`` shuffles the groups."""
    group = [voice.group for voice in voices]
    fold_of = _dealt(group, [0] * N_PEOPLE_FOLDS, seed)
    own = np.array([fold_of[name] for name in group])
    return [Fold(f"people{number}", own != number, own == number) for number in range(N_PEOPLE_FOLDS)]


def _dealt(groups: Sequence[str], counts: list[int], seed: int) -> dict[str, int]:
    """Fold of each group, largest first to the fold with fewest voices; ``counts`` says how many it has already."""
    size = Counter(groups)
    shuffled = np.random.default_rng(seed).permutation(sorted(size)).tolist() if size else []
    counts, fold_of = [*counts], {}
    for name in sorted(shuffled, key=lambda one: -size[one]):
        fold_of[name] = int(np.argmin(counts))
        counts[fold_of[name]] += size[name]
    return fold_of
