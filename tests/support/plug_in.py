"""A package of somebody else's with one family, written by hand as an installer would leave it."""

from __future__ import annotations

from pathlib import Path

MODULE = """"{family}: how many frames there are."

from deepcue import Column, family

COLUMNS = (
    Column("{family}.frames_n", range=(0, 1e9), reference="none", description="Number of frames."),
    Column("{family}.valid_share", range=(0, 1), direction="covariate", description="Always 1."),
)


@family("{family}", version=1, needs={{"picture"}}, columns=COLUMNS)
def measure(observation, track):
    return {{"{family}.frames_n": len(observation.times_s), "{family}.valid_share": 1.0}}
"""


def write_plug_in(folder: Path, package: str, *, family: str = "mycue", text: str = MODULE, named: bool = True) -> Path:
    """Write ``package.cue`` below ``folder``, and unless ``named`` is false the entry point of its family."""
    code = folder / package
    code.mkdir(parents=True)
    (code / "__init__.py").write_text("")
    (code / "cue.py").write_text(text.format(family=family))
    if named:
        described = folder / f"{package}-1.0.dist-info"
        described.mkdir()
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (described / "entry_points.txt").write_text(f"[deepcue.families]\n{family} = {package}.cue\n")
    return folder
