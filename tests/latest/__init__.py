"""TOSIP as its users get it: the wheel with the newest libraries, in each Python of this machine.

`python -m tests.latest [VERSION ...]` (`make test-latest`) builds the wheel. For each Python that
pyproject.toml names, or each VERSION such as 3.13, it installs the wheel into a fresh environment
without any constraint, and runs there, outside the repository: the tests of the contract with
authors, `tosip check` of every algorithm that ships, and the NEOSTED IOC to its first figures. A
Python that is not here is skipped, by name. Three Pythons take two minutes of two cores.
"""
