import inspect
import pathlib
import re
import unittest
from typing import Set

import brainjar

GUIDE = pathlib.Path(__file__).parents[2] / "docs" / "python.md"


def public(kind: type) -> Set[str]:
    return {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}


class GuideTest(unittest.TestCase):
    """The guide shows the whole client, and nothing that it does not have."""

    def setUp(self) -> None:
        self.text = GUIDE.read_text(encoding="utf-8")
        self.blocks = re.findall(r"```python\n(.*?)```", self.text, re.DOTALL)

    def test_examples_are_python(self) -> None:
        self.assertGreater(len(self.blocks), 5)
        for block in self.blocks:
            compile(block, str(GUIDE), "exec")

    def test_the_client_is_all_there(self) -> None:
        self.assertEqual(set(re.findall(r"\bclient\.(\w+)\(", self.text)), public(brainjar.Client))

    def test_the_manager_has_what_is_used(self) -> None:
        used = set(re.findall(r"\bmanager\.(\w+)\(", self.text))
        self.assertLessEqual(used, public(brainjar.SystemdManager))

    def test_errors_are_all_there(self) -> None:
        have = {name for name in brainjar.__all__ if name.endswith("Error")} - {"BrainjarError"}
        self.assertEqual(set(re.findall(r"^\| `(\w+Error)`", self.text, re.MULTILINE)), have)
