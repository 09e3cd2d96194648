"""Aliases for arrays by element type, so that signatures show what an array holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Log-odds, probabilities, weights."""
Float = NDArray[np.float32]
"""Cues, at the precision of the table."""
Int = NDArray[np.int64]
"""Labels (1 FAKE), groups, folds, positions."""
Bool = NDArray[np.bool_]
"""Masks."""
