import unittest
from datetime import datetime, timedelta, timezone
from typing import List, Tuple

from brainjar import times

NOW = datetime(2026, 3, 1, 12, 30, 0, tzinfo=timezone(timedelta(hours=2)))


class TimesTest(unittest.TestCase):
    def test_parse(self) -> None:
        for text, want in {
            "2026-03-01T10:00:00Z": datetime(2026, 3, 1, 10, tzinfo=timezone.utc),
            "2026-03-01T10:00:00.5Z": datetime(2026, 3, 1, 10, 0, 0, 500000, timezone.utc),
            "2026-03-01T10:00:00.123456789+01:00": datetime(2026, 3, 1, 9, 0, 0, 123456, timezone.utc),
            "0001-01-01T00:00:00Z": None,
        }.items():
            self.assertEqual(times.parse(text), want, text)

    def test_parse_what_is_no_time(self) -> None:
        for text in ("", "now", "2026-03-01", "2026-13-01T10:00:00Z", "2026-03-01T10:00:00"):
            with self.assertRaises(ValueError, msg=text):
                times.parse(text)

    def test_since(self) -> None:
        midnight = datetime(2026, 2, 28, 22, tzinfo=timezone.utc)
        cases: List[Tuple[times.Since, datetime]] = [
            (NOW, NOW),
            (timedelta(hours=1), NOW - timedelta(hours=1)),
            ("1 hour ago", NOW - timedelta(hours=1)),
            ("2 days ago", NOW - timedelta(days=2)),
            ("-90s", NOW - timedelta(seconds=90)),
            ("10min ago", NOW - timedelta(minutes=10)),
            ("now", NOW),
            ("today", midnight),
            ("Yesterday", midnight - timedelta(days=1)),
            ("@1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)),
            ("2026-01-15", datetime(2026, 1, 15)),
            ("2026-01-15 12:30", datetime(2026, 1, 15, 12, 30)),
            ("2026-01-15T12:30:05", datetime(2026, 1, 15, 12, 30, 5)),
            ("2026-01-15T12:30:05.25+01:00", datetime(2026, 1, 15, 11, 30, 5, 250000, timezone.utc)),
        ]
        for said, want in cases:
            self.assertEqual(times.since(said, NOW), times.write(want), said)
        self.assertIsNone(times.since(None))

    def test_since_what_nobody_understands(self) -> None:
        for said in ("", "soon", "1 hour", "3 fortnights ago", "2026-99-01", "@x"):
            with self.assertRaises(ValueError, msg=said):
                times.since(said, NOW)
