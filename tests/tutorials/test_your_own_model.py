"""What tutorial 02 promises of the model that it writes."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import jupytext
import pytest

SCRIPT = Path(__file__).parents[2] / "tutorials" / "02_your_own_model.py"


@pytest.fixture
def cells():
    return jupytext.read(SCRIPT).cells


@pytest.fixture
def modules(cells):
    tagged = (cell for cell in cells if cell.cell_type == "code" and "tags" in cell.metadata)
    return [cell.source for cell in tagged if "oscillator.py" in cell.metadata.tags]


@pytest.fixture
def blocks(cells):
    text = cells[-1].source
    return dict(re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE))


def test_model_and_guide_are_fewer_than_sixty_lines_together(modules):
    written = [source for source in modules if "(nn.Module)" in source]
    assert len(written) == 2
    assert sum(len(source.splitlines()) for source in written) < 60


def test_as_a_package_it_keeps_the_contract(modules, blocks, tmp_path):
    project = tomllib.loads(blocks["toml"])["project"]
    points = project["entry-points"]["mutoscope.entries"]
    (tmp_path / "oscillator.py").write_text("\n\n".join(modules))
    installed = tmp_path / "my_swings-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    lines = (f"{name} = {value}\n" for name, value in points.items())
    (installed / "entry_points.txt").write_text("[mutoscope.entries]\n" + "".join(lines))
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(blocks[""]), "-v", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"[{project['name']}:oscillator] PASSED" in done.stdout
