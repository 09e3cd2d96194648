"""Optimiser, learning rate and moving average of the weights of a face network."""

from __future__ import annotations

from typing import Any

WEIGHT_DECAY = 0.02
EMA_DECAY = 0.995
WARM_UP_STEPS, WARM_UP_SHARE = 50, 0.1  # largest number of warm-up steps, and largest fraction of a phase
LOWEST_RATE = 0.01  # rate at the end of the cosine, as a fraction of the highest


def optimiser(net: Any, rate: float) -> Any:
    """Return AdamW with weight decay for matrices and kernels only, not for batch norm and biases."""
    import torch

    decayed = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate)


def learning_rates(optimiser: Any, steps: int) -> Any:
    """Return a schedule: linear warm-up to the optimiser's rate, then half a cosine down to ``LOWEST_RATE`` of it."""
    from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

    warm_up = max(1, min(WARM_UP_STEPS, round(WARM_UP_SHARE * steps)))
    rate = optimiser.param_groups[0]["lr"]
    parts = [
        LinearLR(optimiser, start_factor=1 / (warm_up + 1), total_iters=warm_up),
        CosineAnnealingLR(optimiser, max(1, steps - warm_up), eta_min=LOWEST_RATE * rate),
    ]
    return SequentialLR(optimiser, parts, milestones=[warm_up])


def moving_average(mean: Any, new: Any, n_averaged: Any) -> Any:
    """Update an exponential moving average whose decay grows to ``EMA_DECAY``, so that the start is soon forgotten.

    Torch's ``get_ema_avg_fn`` has the same decay for all steps. Integers, such as counts of batches, are copied.
    """
    if not mean.is_floating_point():
        return new
    n = int(n_averaged)
    return mean.lerp(new, 1 - min(EMA_DECAY, (1 + n) / (10 + n)))
