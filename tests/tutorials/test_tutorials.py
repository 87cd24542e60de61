"""Tutorials run from end to end, and notebooks say what their scripts say."""

import os
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

FOLDER = Path(__file__).parents[2] / "tutorials"
SCRIPTS = sorted(FOLDER.glob("*.py"))
SAYS = {"02_your_own_model": (".to_event(", "leaves the support", "are not registered")}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_it_runs_and_shows_the_errors_that_its_text_speaks_of(script, tmp_path):
    environment = os.environ | {"MUTOSCOPE_SMOKE": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for words in SAYS.get(script.stem, ()):
        assert words in done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_its_notebook_has_the_same_cells_and_their_outputs(script):
    source = jupytext.read(script)
    notebook = jupytext.read(script.with_suffix(".ipynb"))
    cells = [[(c.cell_type, c.source) for c in each.cells] for each in (source, notebook)]
    assert cells[0] == cells[1]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
