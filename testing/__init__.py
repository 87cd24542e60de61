"""The contract that every model and guide keep, as tests for anybody's pair.

`pytest --pyargs mutoscope.testing --mutoscope-entry NAME` tests an entry of an installed package;
without the option, ours are tested. What is tested is said by `mutoscope.testing.test_contract`,
on the data and sizes of the entry's `example`.
"""
