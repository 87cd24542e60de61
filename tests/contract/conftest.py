"""A pair that is not ours can be imported, as the contract tests break it in every way."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "fixtures" / "third_party"))
