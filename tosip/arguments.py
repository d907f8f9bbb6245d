"""The command line of all our commands: a user's mistake is one line on stderr, exit status 2."""

import argparse
from typing import NoReturn

from tosip.texts import printable


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that says what is wrong without repeating its usage."""

    def error(self, message: str) -> NoReturn:
        """Print one line and end with status 2."""
        self.exit(2, f"{self.prog}: {printable(message)} (see --help)\n")
