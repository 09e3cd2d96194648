"""Kinds of manipulation by the family of the method: what is pasted, re-rendered or generated.

A method that this table does not contain has the kind ``"other"``.
"""

from __future__ import annotations

from training.manifest import method_family

KINDS = {
    "challenge": "dfdc",
    "face swap": "canonswap deepfakeautoencoder deepfacelab deeplivecam dfd e4s faceshifter faceswap faceswapgan "
    "hififace hires inswapper openforensics reswapper roop styleswap",
    "reenactment": "dpe facevid2vid fadm fantasyportrait followyouremoji fomm fsrt lia liveportrait minimates mtia "
    "pdfgc photo tpsmm xportrait",
    "lip sync": "audio av2av easywav2lip latentsync musetalk resyncer stylesync wav2lip wav2liphq",
    "talking head": "actalker aiportraitanimated aniportrait anitalker chatanyone dreamtalk eat echomimic edtalk emo "
    "fantasyid fantasytalking float hallo infinitetalk kdtalker loopy memo real3dportrait sadtalker sda sonic vasa1 "
    "vexpress vqtalker",
    "whole-picture generation": "flux1dev+lora stablediffusion21 stylegan2 stylegan2inversionofcfdphoto styleganlike",
}
"""Kind to the families (:func:`training.manifest.method_family`) of its methods."""
FACEFORENSICS = "ff++"  # a family that has swaps and reenactments
REENACTMENTS = ("f2f", "face2face", "nt", "neuraltextures")  # methods of FaceForensics++
OTHER = "other"

_KIND_OF_FAMILY = {family: kind for kind, families in KINDS.items() for family in families.split()}


def kind_of(method: str) -> str:
    """Return the kind of a method.

    >>> [kind_of(method) for method in ("SadTalker", "ff++_deepfakes", "ff++_nt", "resyncer_swap", "mine")]
    ['talking head', 'face swap', 'reenactment', 'face swap', 'other']
    """
    family, _, part = method.lower().partition("_")
    if family == FACEFORENSICS:
        return "reenactment" if part in REENACTMENTS else "face swap"
    if part == "swap":
        return "face swap"
    return _KIND_OF_FAMILY.get(method_family(method), OTHER)
