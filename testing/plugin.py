"""The option of pytest that says whose contract is tested; nothing heavy is imported here."""

import pytest

__all__ = ["pytest_addoption"]

# So that a failure shows the values that were compared, also where the tests are imported.
pytest.register_assert_rewrite("mutoscope.testing.test_contract")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--mutoscope-entry NAME`."""
    parser.getgroup("mutoscope").addoption(
        "--mutoscope-entry",
        metavar="NAME",
        help="test the contract of this entry (with `--pyargs mutoscope.testing`)",
    )
