"""What the tests against a real brainjar share."""

from __future__ import annotations

import subprocess
import time
import unittest
from typing import Callable, Type

from brainjar import BrainjarError, Client, NotReadyError, UnreachableError

# How long a test waits for what must happen, in seconds.
PATIENCE = 30.0


def eventually(what: str, happened: Callable[[], object]) -> None:
    """Fails unless it happens in time."""
    end = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > end:
            raise AssertionError(f"in {PATIENCE:.0f} s: not {what}")
        time.sleep(0.02)


def answers(client: Client) -> bool:
    """Whether brainjar is there and knows what runs."""
    try:
        return client.status().supervisor.ready
    except (NotReadyError, UnreachableError):
        return False


def kill_brainjar(client: Client) -> None:
    """Kills brainjar; its unit starts it again. It returns as soon as it is dead."""
    pid = client.status().supervisor.pid
    subprocess.run(["systemctl", "kill", "--signal=KILL", "brainjar.service"], check=True, timeout=PATIENCE)
    eventually("dead", lambda: not _alive(pid))


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


class HouseTest(unittest.TestCase):
    """A test with a client; what it started is stopped in the end."""

    def setUp(self) -> None:
        self.client = Client()
        eventually("ready", lambda: answers(self.client))
        self.addCleanup(self.tidy)

    def tidy(self) -> None:
        eventually("ready", lambda: answers(self.client))
        for e in self.client.status().experiments:
            if not e.over and e.phase != "idle":
                self.client.stop(e.experiment, wait=True, timeout=PATIENCE)
            if e.submitted:
                self.client.forget(e.experiment)

    def submit(self, id: str, script: str, **keys: object) -> None:
        """Submits an experiment that is a script of sh."""
        self.client.submit(id, ["sh", "-c", script], working_directory=None, **keys)

    def refused(self, kind: Type[BrainjarError], do: Callable[[], object]) -> BrainjarError:
        with self.assertRaises(kind) as caught:
            do()
        return caught.exception
