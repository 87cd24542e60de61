"""Our own models keep the contract; the tests are shipped, see `mutoscope.testing`."""

from mutoscope.testing.test_contract import *  # noqa: F403 - every test, and how they get entries
