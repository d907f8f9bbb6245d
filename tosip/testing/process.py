"""A program in a subprocess whose lines a test can wait for."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence


class LinesProcess:
    """Runs `command` and keeps what it prints (stderr too); `wait_line` waits for a line.

    `say` is written to its standard input, which stays open until `stop`; so is what `say()` gets.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, say: str = ""
    ) -> None:
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        if say:
            self.say(say)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def wait_line(self, text: str, timeout: float = 60.0) -> str:
        """Return the first line with `text` in it; TimeoutError tells all lines so far."""
        deadline = time.monotonic() + timeout
        with self._more:
            while True:
                found = [line for line in self.lines if text in line]
                if found:
                    return found[0]
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    raise TimeoutError(f"no line with {text!r} in:\n" + "\n".join(self.lines))
                self._more.wait(left)

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        if self._process.stdin:
            self._process.stdin.write(line.rstrip("\n") + "\n")
            self._process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self._process.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for its end and return the exit status."""
        status = self._process.wait(timeout)
        self._reader.join(timeout)
        return status

    def stop(self, timeout: float = 20.0) -> int:
        """End it with SIGTERM, or by force after `timeout`; return the exit status."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
        if self._process.stdin:
            self._process.stdin.close()
        return self.wait()

    def _read(self) -> None:
        if self._process.stdout:
            for line in self._process.stdout:
                with self._more:
                    self.lines.append(line.rstrip("\n"))
                    self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()
