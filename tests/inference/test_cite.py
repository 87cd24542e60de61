"""A run cites what it used, all of it and nothing else, in BibTeX that parses."""

import dataclasses
import re
import sys
from pathlib import Path

import pytest
import yaml
from torch import nn

import mutoscope
from mutoscope.guides.registry import ENTRIES, Citation, Entry, image_sequences
from mutoscope.inference import Run
from mutoscope.inference.cite import ALWAYS, DATA, TRAINING, cite, references
from mutoscope.zoo.datasets import SOURCES
from mutoscope.zoo.errors import ConfigError

FIELD = re.compile(r"\s*(\w+)\s*=\s*\{")
NEEDED = {
    "article": {"author", "title", "journal", "year"},
    "inproceedings": {"author", "title", "booktitle", "year"},
    "misc": {"author", "title", "year"},
    "software": {"author", "title", "version"},
}


def braced(text, start):
    depth = 1
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start:position], position + 1
    raise AssertionError(f"open brace: {text[start : start + 40]}")


def parsed(text):
    found, position = {}, 0
    while head := re.compile(r"\s*@(\w+)\{([\w-]+),").match(text, position):
        fields, position = {"type": head[1]}, head.end()
        while field := FIELD.match(text, position):
            assert field[1] not in fields
            fields[field[1]], position = braced(text, field.end())
            assert text[position] == ","
            position += 1
        end = re.compile(r"\s*\}").match(text, position)
        assert end, text[position : position + 40]
        assert head[2] not in found
        found[head[2]], position = fields, end.end()
    assert not text[position:].strip()
    return found


def run_of(name, *, model=None, guide=None, **settings):
    entry = Entry.named(name)
    made = entry.model(entry.model.Config.from_dict(image_sequences().model | (model or {})))
    return Run(made, entry.guide(made, entry.guide.Config(**guide or {})), [], settings)


def works(*used):
    return set(parsed(cite(*used))) - set(ALWAYS)


def test_every_reference_is_well_formed_and_complete():
    whole = Path(mutoscope.__file__).parent / "inference" / "references.bib"
    found = parsed(whole.read_text(encoding="utf-8"))
    assert found.keys() == references().keys()
    for key, fields in found.items():
        assert NEEDED[fields["type"]] <= fields.keys(), key
        assert all(value.strip() for value in fields.values()), key
        assert fields.get("year", "2000").isdigit(), key


def test_every_work_that_is_declared_is_known_and_every_known_one_is_declared():
    declared = {citation.work for entry in ENTRIES for citation in entry.citations}
    declared |= {*ALWAYS, *TRAINING, *(work for found in DATA.values() for work in found)}
    assert declared == references().keys()


def test_every_data_set_of_ours_says_where_it_comes_from():
    assert DATA.keys() == set(SOURCES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_model_declares_every_paper_that_its_description_names(entry):
    described = f"{sys.modules[entry.model.__module__].__doc__} {entry.model.__doc__}"
    named = set(re.findall(r"arXiv:(\d+\.\d+)", described))
    declared = {parsed(references()[c.work])[c.work].get("eprint") for c in entry.citations}
    assert named
    assert named <= declared


def test_mutoscope_is_cited_as_its_citation_file_says():
    root = Path(__file__).parents[2]
    facts = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    found = parsed(cite())["mutoscope"]
    assert found["title"] == f"{{{facts['title']}}}"
    assert found["author"] == f"{{{facts['authors'][0]['name']}}}"
    assert found["version"] == facts["version"] == mutoscope.__version__


def test_tools_are_cited_whatever_was_done():
    assert set(parsed(cite())) == set(ALWAYS)
    assert set(ALWAYS) < set(parsed(cite("vae")))


STA, SPIKES = "song2024sparse", "jang2017categorical"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {STA, SPIKES}),
        ({"model": {"activity": "one"}}, {STA, "song2023flow"}),
        ({"model": {"method": "dopri5"}}, {STA, SPIKES, "chen2018torchdiffeq"}),
        ({"guide": {"estimator": "hard_concrete"}}, {STA, "louizos2018learning"}),
        ({"guide": {"estimator": "disarm"}}, {STA, "dong2020disarm"}),
        ({"guide": {"estimator": "local_expectation"}}, {STA, "titsias2015local"}),
        ({"guide": {"estimator": "enumerate"}}, {STA}),
    ],
)
def test_a_run_cites_what_its_model_and_guide_used(options, expected):
    assert works(run_of("sta", **options)) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, set()),
        ({"model": {"network": "broadcast"}}, {"watters2019spatial"}),
        ({"guide": {"network": "places"}}, {"finn2016deep"}),
    ],
)
def test_a_run_cites_the_networks_that_it_used(options, expected):
    assert works(run_of("additive", **options)) == {"lachapelle2023additive"} | expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, set()),
        ({"fit": {"max_steps": 1}}, {"kingma2015adam"}),
        ({"fit": {"weight_decay": 0.1}}, {"kingma2015adam", "loshchilov2019decoupled"}),
        ({"fit": {"beta": 4.0}}, {"kingma2015adam", "higgins2017beta"}),
        ({"fit": {"free_bits": 0.1}}, {"kingma2015adam", "kingma2016improved"}),
        ({"data": {"data": "mnist"}}, {"lecun1998gradient"}),
        ({"data": {"data": "digits"}}, {"alpaydin1998optical", "pedregosa2011scikit"}),
        ({"data": {"data": "pictures/"}}, set()),
    ],
)
def test_a_run_cites_what_its_training_and_data_used(settings, expected):
    assert works(run_of("vae", **settings)) == {"kingma2014auto"} | expected


def test_the_baseline_cites_its_own_paper():
    assert works(run_of("vae")) == works("vae") == {"kingma2014auto"}


def test_several_are_cited_together_and_each_work_once():
    assert works("sta", run_of("vae"), Entry.named("sta")) == works("sta") | works("vae")


def entry_with(citation):
    return dataclasses.replace(Entry.named("vae"), name="mine", citations=(citation,))


def test_an_entry_may_bring_its_own_bibtex():
    own = "@misc{own,\n  author = {Somebody},\n  title = {{A Paper}},\n  year = {2025},\n}"
    assert works(entry_with(Citation(own))) == {"own"}


def test_an_unknown_work_is_explained():
    with pytest.raises(ConfigError, match="no work 'nobody2025'"):
        cite(entry_with(Citation("nobody2025")))


def test_a_pair_that_is_not_registered_still_cites_the_tools():
    run = Run(nn.Linear(1, 1), nn.Linear(1, 1), [], {"fit": {"max_steps": 1}})
    assert works(run) == {"kingma2015adam"}
