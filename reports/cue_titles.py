"""What pages call cue families, and the few columns of each that they show first: written for readers, by hand.

A family of another package is called by its own name, and its first declared columns stand for it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from features.spec import is_share

FAMILIES = {
    "blending": "Core against rest of the face",
    "blink": "Blinks",
    "cnn_embedding": "Descriptions of the networks",
    "eyes_teeth": "Eyes and teeth",
    "face_contrast": "Texture of centre against edge",
    "forensic_cnn": "Face network",
    "forensic_residual": "Texture network",
    "forensic_voice": "Speech model",
    "head_pose": "Head pose",
    "identity": "Identity over time",
    "landmark_jitter": "Landmark jitter",
    "lip_sync": "Lip sync",
    "quality": "Image quality",
    "residual": "Noise and fine detail",
    "spectrum": "Spatial spectrum",
    "texture": "Skin texture",
    "voice": "Voice",
}

COLUMNS = {
    "blink.rate_per_min": "Blink rate",
    "blink.dur_med_s": "Length of a blink",
    "blink.amp_med": "How far the lids close, 1 is shut",
    "blink.ear_base_mad": "Unsteadiness of the eyes between blinks",
    "cnn_embedding.cnn_real_dist_mean": "Distance from genuine faces, face network",
    "cnn_embedding.residual_real_dist_mean": "Distance from genuine faces, texture network",
    "cnn_embedding.cnn_step_mean": "Change from face to face, face network",
    "cnn_embedding.residual_step_mean": "Change from face to face, texture network",
    **{f"face_contrast.c{k:02}_mean": f"Contrast of the middle of the face, component {k}" for k in (1, 2, 3)},
    "forensic_cnn.logit_mean": "Mean score, log-odds of FAKE",
    "forensic_residual.logit_mean": "Mean score, log-odds of FAKE",
    "forensic_voice.logit": "Score, log-odds of synthetic speech",
    "identity.pair_med": "Distance between two of its faces",
    "identity.medoid_max": "Distance of the face least like the others",
    "identity.drift": "Drift from the beginning to the end",
    "landmark_jitter.mouth_jitter_med_iod": "Jitter of the mouth",
    "landmark_jitter.jaw_jitter_med_iod": "Jitter of the jaw",
    "landmark_jitter.eyes_jitter_med_iod": "Jitter of the eyes",
    "lip_sync.open_rms_peak": "Agreement of mouth and loudness, 1 is full",
    "lip_sync.open_rms_lag_s": "Audio behind the lips",
    "lip_sync.winlag_mad_s": "Change of that delay over the clip",
    "blending.noise_core_rest_med": "Noise of the core of the face against its rest, logarithm",
    "blending.lap_core_rest_med": "Detail of the core of the face against its rest, logarithm",
    "blending.lightness_core_rest_med": "Lightness of the core of the face against its rest, of 100",
    "blending.lab_core_rest_med": "Difference in colour between core and rest",
    "eyes_teeth.iris_dlab": "Difference in colour between the irises",
    "eyes_teeth.teeth_laws_ee": "Edges within the teeth, logarithm",
    "head_pose.diff_angle_med_deg": "Angle between inner face and head",
    "head_pose.jerk_inner_over_outer": "Jerks of the inner face against the jaw, logarithm",
    "residual.kb_std_med": "Strength of the fine detail",
    "residual.kb_ac1_med": "Likeness of neighbouring fine detail",
    "texture.lbp_ent_med": "Variety of local patterns, 1 is noise",
    "texture.glcm_contrast_d1_med": "Contrast of neighbouring pixels of the skin",
    "quality.iod_px": "Distance between the eyes",
    "quality.blur_lap_face_med": "Sharpness of the face, powers of ten",
    "quality.expo_med_face_med": "Brightness of the face",
    "quality.blockiness_face_med": "Visibility of compression blocks, 1 is none",
    "spectrum.slope": "Fading of detail from coarse to fine",
    "spectrum.tail": "Excess of the finest detail, powers of ten",
    "spectrum.flicker_hf_mad": "Flicker of the sharpness, powers of ten",
    "voice.centroid_med_hz": "Centre of the speech's spectrum",
    "voice.bw99_hz": "Bandwidth of the speech",
    "voice.flatness_med": "Flatness of the spectrum, 1 is noise",
    "voice.flux_med": "Change of the spectrum in 10 ms",
}
"""Column to its title; of each family in the order in which they are shown."""

UNITS = {
    "1": "",
    "1/min": " per minute",
    "1/s": " per second",
    "deg": "°",
    "log10": "",
    "iod": " inter-ocular distances",
}
OF_A_STRANGER = 3  # columns shown without a title: of a family that has none above, or read by the model


def family_title(name: str) -> str:
    """What pages call a family.

    >>> family_title("lip_sync"), family_title("my_cue")
    ('Lip sync', 'my_cue')
    """
    return FAMILIES.get(name, name)


def headlines(family: str, columns: Sequence[str], read: Container[str] = frozenset()) -> list[tuple[str, str]]:
    """Name and title of the columns that stand for a family, of those in ``columns``.

    Where ``read``, the columns that a model reads, has any of these, it is only such columns.

    >>> headlines("my_cue", ["my_cue.tempo", "my_cue.valid_share"])
    [('my_cue.tempo', 'tempo')]
    >>> headlines("blink", ["blink.rate_per_min", "blink.dur_med_s"], {"blink.dur_med_s"})
    [('blink.dur_med_s', 'Length of a blink')]
    """
    candidates = [name for name in columns if not is_share(name)]
    of_model = [name for name in candidates if name in read]
    titled = [(name, title) for name, title in COLUMNS.items() if name in (of_model or candidates)]
    is_stranger = not any(name.startswith(f"{family}.") for name in COLUMNS)
    if titled or not (of_model or is_stranger):
        return titled
    return [(name, name.partition(".")[2]) for name in (of_model or candidates)[:OF_A_STRANGER]]


def with_unit(text: str, unit: str) -> str:
    """A printed number and its unit.

    >>> with_unit("2", "1/min"), with_unit("0.2", "s"), with_unit("0.2", "1")
    ('2 per minute', '0.2 s', '0.2')
    """
    return text + UNITS.get(unit, f" {unit}")
