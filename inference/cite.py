"""Whom to cite: BibTeX for what a run used, and for nothing else."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from ..guides.registry import Citation, Entry, entry_of
from ..zoo.config import AbstractConfig
from ..zoo.errors import ConfigError
from .run import Run

__all__ = ["cite"]

ALWAYS = ("mutoscope", "bingham2019pyro", "paszke2019pytorch")

# Works that training builds on, and when, given the options of `fit`.
TRAINING: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "kingma2015adam": bool,
    "loshchilov2019decoupled": lambda options: options.get("weight_decay", 0) > 0,
    "higgins2017beta": lambda options: options.get("beta", 1) != 1,
    "kingma2016improved": lambda options: options.get("free_bits", 0) > 0,
}

# Works that a data set comes from, by its name in `mutoscope.zoo.datasets`.
DATA = {
    "digits": ("alpaydin1998optical", "pedregosa2011scikit"),
    "mnist": ("lecun1998gradient",),
    "fashion_mnist": ("xiao2017fashion",),
    "celeba": ("liu2015deep",),
    "dsprites": ("matthey2017dsprites",),
    "shapes3d": ("burgess2018shapes",),
    "falcor3d": ("nie2020semi",),
    "isaac3d": ("nie2020semi",),
    "sprites": ("li2018disentangled",),
    "mpi3d": ("gondal2019transfer",),
    "moving_mnist": ("srivastava2015unsupervised", "lecun1998gradient"),
    "two_dsprites": ("matthey2017dsprites",),
    "polygons": ("bouchacourt2021addressing",),
    "balls": ("lachapelle2023additive",),
    "ball_sequences": ("lachapelle2023additive",),
}


def cite(*used: Run | Entry | str) -> str:
    """Return BibTeX entries, each once: Mutoscope, Pyro, PyTorch, and what was used.

    Args:
        used: Runs: the papers of the model and guide under the options that they have, of the
            options of training, and of the data set where the run's settings name one of ours.
            Or entries, or their names: the papers of the model as its example has it.

    Raises:
        ConfigError: There is no entry of a name, or an entry declares a work that is unknown.
    """
    works = list(ALWAYS)
    for each in used:
        if isinstance(each, Run):
            works += _works_of_run(each)
        else:
            works += _works_of_entry(each if isinstance(each, Entry) else Entry.named(each))
    return "\n\n".join(_bibtex(work) for work in dict.fromkeys(works)) + "\n"


def _works_of_entry(entry: Entry) -> Iterator[str]:
    example = entry.example()
    model = entry.model.Config.from_dict(example.model)
    return _applying(entry.citations, model, entry.guide.Config.from_dict(example.guide))


def _works_of_run(run: Run) -> Iterator[str]:
    model: Any = run.model
    guide: Any = run.guide
    with contextlib.suppress(ConfigError):  # a pair that is not registered declares no papers
        yield from _applying(entry_of(model, guide).citations, model.config, guide.config)
    options = run.settings.get("fit", {})
    yield from (work for work, applies in TRAINING.items() if applies(options))
    yield from DATA.get(run.settings.get("data", {}).get("data", ""), ())


def _applying(
    citations: tuple[Citation, ...], model: AbstractConfig, guide: AbstractConfig
) -> Iterator[str]:
    return (citation.work for citation in citations if citation.applies(model, guide))


def _bibtex(work: str) -> str:
    if work.startswith("@"):
        return work
    if work not in references():
        raise ConfigError(
            f"Found no work {work!r} among the references. Declare its BibTeX entry in its place, "
            "or add it to mutoscope/inference/references.bib."
        )
    return references()[work]


@cache
def references() -> dict[str, str]:
    """Return the BibTeX entries of `references.bib` by key, as they stand there."""
    text = files("mutoscope.inference").joinpath("references.bib").read_text(encoding="utf-8")
    found = re.findall(r"^(@\w+\{([^,]+),.*?^\})$", text, flags=re.MULTILINE | re.DOTALL)
    return {key: entry for entry, key in found}
