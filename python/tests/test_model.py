import unittest
from datetime import datetime, timezone
from typing import Any, List

from brainjar import Event, Experiment, Status, Why
from brainjar.errors import BrainjarError
from brainjar.model import read


class ModelTest(unittest.TestCase):
    def test_experiment(self) -> None:
        e = read(
            Experiment,
            {
                "experiment": "a",
                "phase": "running",
                "since": "2026-03-01T10:00:00.123456789Z",
                "memory_max": 8 << 30,
                "cpu_percent": 12.5,
                "tags": None,
                "enabled": False,
                "of_a_later_brainjar": {"x": 1},
            },
        )
        self.assertEqual(e.since, datetime(2026, 3, 1, 10, 0, 0, 123456, timezone.utc))
        self.assertEqual((e.memory_max, e.cpu_percent, e.tags, e.enabled), (8 << 30, 12.5, [], False))
        self.assertIsNone(e.memory_peak)
        self.assertTrue(e.active)
        self.assertFalse(e.over)

    def test_status(self) -> None:
        s = read(
            Status,
            {
                "at": "2026-03-01T10:00:00Z",
                "supervisor": {"slots": 4, "phases": {"idle": 1}},
                "experiments": [{"experiment": "a", "phase": "idle"}],
            },
        )
        self.assertEqual(s.supervisor.slots, 4)
        self.assertEqual(s["a"].phase, "idle")
        with self.assertRaises(KeyError):
            s["b"]

    def test_nothing_is_an_empty_list(self) -> None:
        self.assertEqual(read(Status, {"supervisor": {}, "experiments": None}).experiments, [])

    def test_why(self) -> None:
        w = read(
            Why,
            {
                "experiment": {"experiment": "a", "phase": "failed"},
                "sentences": ["It failed."],
                "advice": ["Mend it."],
                "last_run": {"experiment": "a", "run": 3, "ended_at": "2026-03-01T10:00:00Z", "exit_code": 1},
            },
        )
        self.assertEqual(str(w), "It failed.\nMend it.")
        assert w.last_run is not None
        self.assertEqual((w.last_run.run, w.last_run.exit_code), (3, 1))

    def test_event_has_names_that_python_allows(self) -> None:
        e = read(Event, {"id": 1, "kind": "phase", "from": "queued", "to": "starting"})
        self.assertEqual((e.from_phase, e.to_phase), ("queued", "starting"))

    def test_what_is_none(self) -> None:
        cases: List[Any] = [
            None,
            [],
            {},
            {"experiment": "a"},
            {"experiment": "a", "phase": "x", "since": 5},
            {"experiment": "a", "phase": "x", "since": "soon"},
        ]
        for data in cases:
            with self.assertRaisesRegex(BrainjarError, "cannot read", msg=repr(data)):
                read(Experiment, data)
