"""TOSIP as its users get it: the wheel with the newest libraries, in each Python of this machine.

`python -m tests.latest` (`make test-latest`) builds the wheel. For each Python that pyproject.toml
names it installs the wheel into a fresh environment without any constraint, and runs there, outside
the repository: the tests of the contract with authors, `tosip check` of every algorithm that ships,
and the NEOSTED IOC to its first figures. A Python that is not here is skipped, by name. Takes
about a minute for each Python and two cores, if pip has the packages in its cache.
"""
