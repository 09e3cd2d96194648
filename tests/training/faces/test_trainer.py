"""One phase of training: a resumed run equals an unbroken one bit for bit, whatever the processes that make batches."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from features.errors import InputError, ModelError
from training.faces import trainer
from training.faces.batches import Batches, Mix, Sources
from training.faces.data import FaceTraining
from training.faces.optimisation import LOWEST_RATE, learning_rates
from training.faces.trainer import Phase, Trainer

torch = pytest.importorskip("torch")

TINY = Phase("base", 1.0, 1e-3, Mix(stills=1, pseudo_fakes=1, clips=0), input_size=64, start="")


@pytest.fixture(autouse=True)
def torch_as_it_was():
    """One thread, as in a training run; random state and threads of other tests stay."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(pools):
    """What a trainer asks of training data, with random images."""

    def batches(mix, *, left_out, size):
        return Batches(Sources(*pools), holdout=frozenset(), mix=mix, seed=3, size=size)

    return SimpleNamespace(
        stills=pools[0],
        labelled=pools[2],
        batches=batches,
        holdout_rows=lambda: np.arange(40),
        fold_of={},
        identity="tiny",
    )


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "imagenet_weights", lambda net: net.state_dict())
    nowhere = Path("/nowhere")
    return FaceTraining(stills=nowhere, faces=nowhere, clips=nowhere, out=tmp_path)


def go(run, n_steps):
    """Train some steps as ``Trainer.run`` does."""
    for pixels, targets in run.batches():
        run.learn(pixels, targets)
        if run.step == n_steps:
            return run
    return run


def same(first, second):
    """Equal bit for bit: nested mappings, sequences, tensors and numbers."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[name], second[name]) for name in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def compared(run):
    """The state without what a clock says and the log needs."""
    return {name: value for name, value in run.state().items() if name not in {"seconds", "losses"}}


def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(data, settings):
    unbroken = go(Trainer(TINY, data, settings, steps=6), 6)
    go(Trainer(TINY, data, settings, steps=6), 3).save()
    torch.rand(7)  # whatever happened in between
    resumed = Trainer(TINY, data, replace(settings, resume=True), steps=6)
    assert resumed.step == 3
    go(resumed, 6)
    state = compared(unbroken)
    assert {"net", "average", "optimiser", "schedule", "random"} <= state.keys()
    for name, value in compared(resumed).items():
        assert same(value, state[name]), name
    assert not same(compared(go(Trainer(TINY, data, settings, steps=6), 5))["net"], state["net"])


@pytest.mark.slow
def test_processes_that_make_batches_change_nothing(data, settings):
    alone = go(Trainer(TINY, data, settings, steps=3), 3)
    helped = go(Trainer(TINY, data, replace(settings, workers=2), steps=3), 3)
    assert same(compared(alone), compared(helped))


def test_an_interrupt_is_taken_after_the_step_at_hand_and_the_run_goes_on_from_there(data, settings, monkeypatch):
    unbroken = Trainer(TINY, data, settings, steps=4)
    unbroken.run()
    weights = (settings.out / "base.safetensors").read_bytes()
    learn = Trainer.learn

    def interrupted(self, pixels, targets):
        if self.step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return learn(self, pixels, targets)

    monkeypatch.setattr(Trainer, "learn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Trainer(TINY, data, settings, steps=4).run()
    monkeypatch.setattr(Trainer, "learn", learn)
    resumed = Trainer(TINY, data, replace(settings, resume=True), steps=4)
    assert resumed.step == 2
    calls = []
    resumed.run(lambda *call: calls.append(call))
    assert calls == [("base", 2, 4), ("base", 3, 4), ("base", 4, 4)]
    assert (settings.out / "base.safetensors").read_bytes() == weights
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_log_of_a_resumed_run_has_each_step_once(data, settings, monkeypatch):
    monkeypatch.setattr(trainer, "LOG_STEPS", 1)
    run = Trainer(TINY, data, settings, steps=3)
    go(run, 1).save()
    (settings.out / "base.csv").write_text("step,loss\n1,0.5\n2,0.4\n")  # the run was killed after its second step
    Trainer(TINY, data, replace(settings, resume=True), steps=3).run()
    lines = (settings.out / "base.csv").read_text().splitlines()
    assert lines[0] == ",".join(trainer.LOG_COLUMNS)
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]


@pytest.mark.parametrize("change", [{"steps": 5}, {"identity": "other clips"}])
def test_a_checkpoint_of_another_run_is_refused(data, settings, change):
    go(Trainer(TINY, data, settings, steps=6), 1).save()
    data.identity = change.get("identity", data.identity)
    with pytest.raises(InputError, match="is of a run of 6 steps"):
        Trainer(TINY, data, replace(settings, resume=True), steps=change.get("steps", 6))


def test_a_damaged_checkpoint_is_refused(data, settings):
    (settings.out / "base.checkpoint").write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match="is not a checkpoint"):
        Trainer(TINY, data, replace(settings, resume=True), steps=6)


def test_training_learns_what_tells_the_classes(data, settings):
    run = Trainer(TINY, data, settings, steps=12)
    batch = [torch.from_numpy(array) for array in data.batches(TINY.mix, left_out=None, size=64)[0]]
    losses = [run.learn(*batch) for _ in range(12)]
    assert losses[-1] < losses[0] - 0.1


def test_rates_warm_up_and_fall_to_their_lowest():
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = learning_rates(optimiser, 1000)
    rates = []
    for _ in range(1000):
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    assert np.argmax(rates) == 50
    assert rates[0] < 0.005
    assert max(rates) == pytest.approx(0.1)
    assert (np.diff(rates[50:]) < 0).all()
    assert schedule.get_last_lr()[0] == pytest.approx(LOWEST_RATE * 0.1)


def test_the_average_follows_the_network_and_copies_counts(data, settings):
    run = go(Trainer(TINY, data, settings, steps=3), 1)
    first = {name: value.clone() for name, value in run.net.state_dict().items()}
    go(run, 2)
    decay = 2 / 11
    for name, mean in run.average.module.state_dict().items():
        new = run.net.state_dict()[name]
        expected = first[name].lerp(new, 1 - decay) if new.is_floating_point() else new
        torch.testing.assert_close(mean, expected)


@pytest.mark.slow
def test_a_phase_ends_in_weights_a_log_and_scores(data, settings):
    from features.networks.efficientnet_lite import Detector

    run = Trainer(TINY, data, settings, steps=2)
    run.run()
    detector = Detector(settings.out / "base.safetensors")
    assert detector.metadata.version == "1-base"
    assert detector.metadata.logit_positive == "fake"
    assert not list(settings.out.glob("*.checkpoint"))
    scores = run.scores()
    assert scores["stills"]["n"] == 40
    assert scores["clips"]["methods"]["loopy"]["n"] == 4
    json.dumps(scores)


def test_a_network_trained_on_clips_is_interpolated_with_its_start(data, settings):
    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, read_weights, save_weights

    torch.manual_seed(1)
    save_weights(LiteNet(), settings.out / "base.safetensors", WeightsMetadata())
    fine = Phase("final", 1.0, 1e-3, Mix(stills=0, pseudo_fakes=0, clips=1), input_size=64)
    run = Trainer(fine, data, settings, steps=0)
    before = {name: value.clone() for name, value in run.average.module.state_dict().items()}
    with torch.no_grad():
        run.average.module.logit.bias += 4.0
    run.run()
    _, written = read_weights(settings.out / "final.safetensors")
    assert float(written["logit.bias"] - before["logit.bias"]) == pytest.approx(2.0, abs=1e-2)
    torch.testing.assert_close(written["stem.1.weight"], before["stem.1.weight"], atol=1e-3, rtol=1e-2)


def test_the_weights_before_interpolation_are_kept_for_another_share(data, settings):
    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, read_weights, save_weights

    save_weights(LiteNet(), settings.out / "base.safetensors", WeightsMetadata())
    fine = Phase("final", 1.0, 1e-3, Mix(stills=0, pseudo_fakes=0, clips=1), input_size=64)
    run = Trainer(fine, data, settings, steps=0)
    with torch.no_grad():
        run.average.module.logit.bias.fill_(7.0)
    run.run()
    assert float(read_weights(settings.out / "final.alpha0.safetensors")[1]["logit.bias"]) == pytest.approx(7.0)


def test_fine_tuning_without_a_base_says_so(data, settings):
    fine = Phase("final", 1.0, 1e-3, Mix(stills=0, pseudo_fakes=0, clips=1), input_size=64)
    with pytest.raises(ModelError, match=r"base\.safetensors is missing; run the phase base first"):
        Trainer(fine, data, settings, steps=1)


def test_a_trial_tells_the_time_of_a_step_and_leaves_nothing(data, settings):
    assert trainer.seconds_per_step(TINY, data, settings) > 0
    assert not list(settings.out.iterdir())
