"""Audio through codecs: what must survive."""

import numpy as np
import pytest

from forge.clips import audio_codec


@pytest.mark.parametrize("codec", audio_codec.CODECS, ids=lambda codec: f"{codec.encoder}-{codec.bps}")
def test_a_tone_survives_every_codec(codec):
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.float32)
    heard = audio_codec.compressed(tone, codec)
    spectrum = np.abs(np.fft.rfft(heard[:16_000]))
    assert abs(heard.size - tone.size) < 2048
    assert int(np.argmax(spectrum)) == pytest.approx(440, abs=2)
    assert np.std(heard) == pytest.approx(np.std(tone), rel=0.1)
