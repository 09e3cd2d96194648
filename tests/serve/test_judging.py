"""What a clip on the page is measured with."""

from dataclasses import replace

import pytest

from ensemble.store import default_model, load_model
from serve.judging import Judging


@pytest.mark.parametrize(("trained_on", "analysed"), [(2.5, 2.5), (None, 120.0)])
def test_clips_are_analysed_for_as_long_as_those_of_the_training(tmp_path, trained_on, analysed):
    model = load_model(default_model())
    judging = Judging(default_model(), tmp_path)
    judging.model = replace(model, layout=replace(model.layout, max_seconds=trained_on))
    assert judging.settings.max_seconds == analysed
    assert set(judging.settings.families) >= set(model.layout.families)
