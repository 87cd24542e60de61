"""The verdict on a posterior: right where the posterior is known, and legible."""

import html.parser
import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from mutoscope.inference import Run, check, checking
from mutoscope.inference.check_sections import coverages_of, of_speeds
from mutoscope.inference.checking import Budget
from mutoscope.inference.findings import Report
from mutoscope.inference.progress import stage_progress
from mutoscope.zoo.errors import ConfigError

from .linear_gaussian import exact_pair, simulated
from .made_speeds import made, posterior

BUDGET = Budget(data=40, draws=400, simulations=300, refine=0)


def report_of(*, budget=BUDGET, **damage):
    model, guide = exact_pair(**damage)
    data, _ = simulated(60)
    return check(Run(model, guide, [], {}), data, budget=budget)


@pytest.fixture(scope="module")
def good():
    return report_of()


@pytest.fixture(scope="module")
def bad():
    return report_of(narrowed=0.5, budget=Budget(data=10, draws=100, simulations=100, refine=150))


def test_an_exact_posterior_is_good(good):
    assert good.level == "good"
    assert good.reasons == ("Nothing that was looked at speaks against it.",)


def test_a_guide_that_is_too_narrow_is_not_trusted_and_the_report_says_why(bad):
    assert bad.level == "bad"
    assert any("too narrow" in reason for reason in bad.reasons)
    assert any("Pareto k" in reason for reason in bad.reasons)


def test_the_report_says_whether_refinement_would_help(bad):
    section = next(s for s in bad.sections if s.title == "Would refinement help?")
    before, after = map(float, section.numbers["median Pareto k, before and after"].split(","))
    assert before > 0.7 > after


class Truthful:
    """Simulated data whose paths are known; more than are looked at."""

    def __init__(self):
        self.tensors, path = simulated(50)
        self.truth = SimpleNamespace(path=path, dims={"path": ("sequence", "time", "axis")})

    def __len__(self):
        return 50

    def batch(self, indices):
        return {name: tensor[indices] for name, tensor in self.tensors.items()}


def test_intervals_are_held_against_the_truth_before_and_after_repair():
    pair = exact_pair(narrowed=0.5)
    budget = Budget(data=40, draws=100, simulations=0, refine=40)
    report = check(Run(*pair, [], {}), Truthful(), budget=budget)
    section = next(s for s in report.sections if s.title.startswith("Do intervals of path"))
    assert "too narrow" in section.words
    assert list(section.figures) == ["Coverage"]
    repair = next(s for s in report.sections if s.title == "Would refinement help?")
    (shown,) = [text for name, text in repair.numbers.items() if "coverage" in name]
    before, after = (float(each.rstrip("%")) for each in shown.split(", "))
    assert before < 70 < 85 < after


def test_speeds_are_shown_and_covered_in_the_units_of_the_truth():
    true, field = made(40, 0)
    idata = posterior(field, true)
    (coverage,) = coverages_of(idata, 0).values()
    assert coverage.share.dims == ("level", "factor")
    assert abs(coverage.share.sel(level=0.9) - 0.9).max() < 0.08
    (section,) = of_speeds(idata, 0)
    assert "degrees per frame" in section.words
    assert list(section.figures) == ["Speeds"]


def test_refinement_of_very_many_numbers_is_left_out_unless_asked_for(monkeypatch):
    monkeypatch.setattr(checking, "_WIDE", 3)
    few = {"data": 10, "draws": 100, "simulations": 0}
    section = next(
        s
        for s in report_of(narrowed=0.5, budget=Budget(**few)).sections
        if s.title == "Would refinement help?"
    )
    assert section.words.startswith("Not tried: each datum has 8 numbers")
    asked = report_of(narrowed=0.5, budget=Budget(**few, refine=2))
    section = next(s for s in asked.sections if s.title == "Would refinement help?")
    assert "Not tried" not in section.words


@pytest.mark.slow
def test_chains_tell_how_far_the_guide_is_from_them_and_how_far_the_refined_one():
    budget = Budget(data=10, draws=400, simulations=0, refine=150, reference=2)
    report = report_of(narrowed=0.5, budget=budget)
    section = next(s for s in report.sections if "reference" in s.title)
    ratios = re.findall(
        r"(guide|refined guide): path: .* ratio of deviations ([\d.]+)\.", section.words
    )
    found = {name: float(ratio) for name, ratio in ratios}
    assert found["guide"] == pytest.approx(0.5, abs=0.05)
    assert found["refined guide"] == pytest.approx(1.0, abs=0.15)


def test_stages_are_shown_on_a_terminal(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr("rich.console.Console", lambda: console)
    with stage_progress(3, enabled=True) as begin:
        begin("drawing")
        begin("refining")
    shown = console.file.getvalue()
    assert "refining" in shown
    assert "1/3" in shown


def test_a_small_error_is_mended_by_resampling():
    report = report_of(shifted=0.3)
    assert report.level == "resample"
    assert "resample=True" in report.verdict


def test_as_text_it_begins_with_the_verdict_and_is_narrow(bad):
    lines = str(bad).splitlines()
    assert lines[2] == f"VERDICT: {bad.verdict}"
    assert max(map(len, lines)) <= 100


class Reader(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.sources = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else(bad, tmp_path):
    bad.save(tmp_path / "check.html")
    page = (tmp_path / "check.html").read_text(encoding="utf-8")
    reader = Reader(page)
    assert reader.open == []
    assert len(reader.sources) == 3  # calibration, and Pareto k before and after refinement
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources)
    assert not re.search("https?://|<script", page)


def test_what_is_written_is_no_markup():
    report = Report("<b>", "good", "a < b", ("x & y",), ())
    assert "<b>" not in report.page()
    assert "a &lt; b" in report.page()


@pytest.mark.parametrize(
    "wrong", [{"data": 0}, {"draws": 3}, {"simulations": 5}, {"refine": -1}, {"reference": -1}]
)
def test_a_budget_that_leaves_nothing_is_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Budget(**wrong)
