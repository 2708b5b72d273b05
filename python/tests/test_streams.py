import threading
import time
from typing import Any, Dict, List
from unittest import mock

import brainjar
from brainjar import BrainjarError, Client, streams, transport

from .fake import PATIENCE, FakeTest, Handler, Request, experiment


def event(id: int, **more: Any) -> Dict[str, Any]:
    return {"id": id, "kind": "phase", "experiment": "a", "at": "2026-03-01T10:00:00Z", **more}


class LogTest(FakeTest):
    def test_lines(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            h.chunk(b": hello\n\n")
            for text in ("one", "zwei: ü"):
                h.event({"at": "2026-03-01T10:00:00Z", "experiment": "a", "run": 3, "message": text})
            h.event({}, event="end")
            h.end()

        client = self.serve(handle)
        with client.logs("a", "b", lines=2, since="@0", run=3) as lines:
            got = list(lines)
        self.assertEqual([str(line) for line in got], ["one", "zwei: ü"])
        self.assertEqual(got[0].run, 3)
        want = {"id": ["a", "b"], "lines": ["2"], "since": ["1970-01-01T00:00:00.000000Z"], "run": ["3"]}
        self.assertEqual(self.fake.requests.pop(), Request("GET", "/v1/logs", want, None))

    def test_output_that_is_cut_is_no_end(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            h.event({"message": "one"})
            h.cut()

        with self.serve(handle).logs("a") as lines:
            self.assertEqual(next(lines).message, "one")
            with self.assertRaisesRegex(brainjar.UnreachableError, "cut off"):
                next(lines)
            with self.assertRaises(StopIteration):
                next(lines)

    def test_end_of_brainjar_is_no_end(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            h.end()

        with self.serve(handle).logs("a", follow=True) as lines:
            with self.assertRaisesRegex(brainjar.UnreachableError, "brainjar has ended"):
                next(lines)

    def test_error_in_the_stream(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            h.event({"error": "no journal", "code": "no-journal"}, event="error")

        with self.serve(handle).logs("a") as lines:
            with self.assertRaisesRegex(brainjar.NoJournalError, "no journal"):
                next(lines)

    def test_data_that_is_no_json(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            h.chunk(b"data: hello\n\n")

        with self.serve(handle).logs("a") as lines:
            with self.assertRaisesRegex(BrainjarError, "cannot read what brainjar sent"):
                next(lines)

    def test_refusal_comes_from_the_call(self) -> None:
        client = self.serve(lambda h, r: h.json({"error": "no", "code": "unknown"}, 404))
        with self.assertRaises(brainjar.UnknownExperimentError):
            client.logs("a", follow=True)
        self.assertEqual(self.fake.requests.pop().query, {"id": ["a"], "follow": ["true"]})

    def test_stream_that_is_silent(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            h.server.fake.gate.wait(PATIENCE)

        with mock.patch.object(transport, "SILENCE_LIMIT", 0.2):
            with self.serve(handle).logs("a", follow=True) as lines:
                with self.assertRaisesRegex(brainjar.UnreachableError, "did not answer in time"):
                    next(lines)

    def test_close_wakes_whoever_reads(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            h.server.fake.gate.wait(PATIENCE)

        lines = self.serve(handle).logs("a", follow=True)
        got: List[Any] = []
        reader = threading.Thread(target=lambda: got.extend([*lines, "ended"]))
        reader.start()
        self.assertTrue(reader.is_alive())
        lines.close()
        reader.join(PATIENCE)
        self.assertEqual(got, ["ended"])


class EventTest(FakeTest):
    """Streams of events go on where they were."""

    def setUp(self) -> None:
        delay = mock.patch.object(streams, "_FIRST_DELAY", 0.01)
        delay.start()
        self.addCleanup(delay.stop)

    def test_goes_on_after_each_kind_of_break(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            number = len(h.server.fake.requests)
            if number == 3:
                h.json({"error": "not yet", "code": "not-ready"}, 503)
                return
            h.begin()
            h.event(event(10 * number), id=10 * number)
            if number == 1:
                h.cut()
            elif number == 2:
                h.end()
            elif number == 4:
                h.event({"error": "leaving", "code": "not-ready"}, event="error")
            else:
                h.server.fake.gate.wait(PATIENCE)

        with self.serve(handle).events("a", after=7) as events:
            self.assertEqual([next(events).id for _ in range(4)], [10, 20, 40, 50])
        asked = [r.query for r in self.fake.requests]
        self.assertEqual([q["after"] for q in asked], [["7"], ["10"], ["20"], ["20"], ["40"]])
        self.assertTrue(all(q["id"] == ["a"] for q in asked))

    def test_id_before_the_first_event_counts(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            if len(h.server.fake.requests) == 1:
                h.chunk(b"id: 99\n\n")
                h.cut()
            else:
                h.event(event(100))
                h.server.fake.gate.wait(PATIENCE)

        with self.serve(handle).events(lines=3) as events:
            self.assertEqual(next(events).id, 100)
        first, again = [r.query for r in self.fake.requests]
        self.assertEqual(first, {"lines": ["3"], "follow": ["true"]})
        self.assertEqual(again, {"after": ["99"], "follow": ["true"]})

    def test_only_the_past(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            h.event(event(1))
            h.event({}, event="end")
            h.end()

        with self.serve(handle).events("a", lines=5, follow=False) as events:
            self.assertEqual([e.id for e in events], [1])
        self.assertEqual(self.fake.requests.pop().query, {"id": ["a"], "lines": ["5"]})

    def test_over_a_restart(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            h.event(event(len(h.server.fake.requests)))
            h.cut()

        with self.serve(handle).events() as events:
            self.assertEqual(next(events).id, 1)
            self.fake.leave()
            back = threading.Timer(0.2, self.fake.listen)
            back.start()
            self.addCleanup(back.join)
            self.assertEqual(next(events).id, 2)
        self.assertEqual(self.fake.requests[1].query, {"after": ["1"], "follow": ["true"]})

    def test_patience_ends(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            h.event(event(1))
            h.cut()

        with self.serve(handle).events(patience=0.1) as events:
            next(events)
            self.fake.leave()
            with self.assertRaisesRegex(brainjar.UnreachableError, "does not come back"):
                next(events)

    def test_patience_counts_from_the_last_break(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            if len(h.server.fake.requests) < 5:
                time.sleep(0.1)  # the life of each stream
                h.cut()
            else:
                h.event(event(1))
                h.server.fake.gate.wait(PATIENCE)

        with mock.patch.object(streams, "_LAST_DELAY", 0.05):
            with self.serve(handle).events(patience=0.2) as events:
                self.assertEqual(next(events).id, 1)

    def test_brainjar_that_ends_each_stream_at_once(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            h.end()

        with self.serve(handle).events(patience=0.2) as events:
            with self.assertRaises(brainjar.UnreachableError):
                next(events)
        self.assertLess(len(self.fake.requests), 10)

    def test_refusal_is_told(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            if len(h.server.fake.requests) == 1:
                h.event(event(1))
                h.cut()
            else:
                h.event({"error": "too long ago", "code": "conflict"}, event="error")

        with self.serve(handle).events() as events:
            next(events)
            with self.assertRaisesRegex(brainjar.ConflictError, "too long ago"):
                next(events)
            self.assertEqual(list(events), [])

    def test_close_ends_the_waiting_for_brainjar(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            h.cut()

        events = self.serve(handle).events(patience=None)
        self.fake.leave()
        got: List[Any] = []
        reader = threading.Thread(target=lambda: got.extend([*events, "ended"]))
        reader.start()
        events.close()
        reader.join(PATIENCE)
        self.assertEqual(got, ["ended"])

    def test_nobody_there_is_told_at_once(self) -> None:
        with self.assertRaises(brainjar.UnreachableError):
            Client("/nonexistent/socket").events()


class WaitTest(FakeTest):
    """Waiting looks again at each event, and whenever a stream begins."""

    def setUp(self) -> None:
        retry = mock.patch("brainjar.client._RETRY", 0.01)
        retry.start()
        self.addCleanup(retry.stop)
        self.stands = experiment("running")
        self.supervisor = {"ready": True}

    def handle(self, h: Handler, r: Request) -> None:
        if r.path == "/v1/events":
            h.begin()
            self.change(h)
        elif r.path == "/v1/status":
            h.json({"supervisor": self.supervisor, "experiments": [self.stands]})
        else:
            h.json(self.stands)

    def change(self, h: Handler) -> None:
        """What happens once a stream of events is open."""
        h.event(event(1, to="stopping"))
        self.stands = experiment("failed", reason="exit code 1")
        h.event(event(2, to="failed"))
        h.server.fake.gate.wait(PATIENCE)

    def test_until_it_is_over(self) -> None:
        self.assertEqual(self.serve(self.handle).wait("a", PATIENCE).reason, "exit code 1")
        want = Request("GET", "/v1/events", {"id": ["a"], "follow": ["true"]}, None)
        self.assertEqual(self.fake.requests[1], want)

    def test_what_is_over_is_not_waited_for(self) -> None:
        self.stands = experiment("succeeded")
        self.serve(self.handle).wait("a")
        self.assertEqual(len(self.fake.requests), 1)

    def test_a_change_while_the_stream_opens(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            if r.path != "/v1/events":
                return self.handle(h, r)
            self.stands = experiment("stopped")
            h.begin()
            h.server.fake.gate.wait(PATIENCE)

        self.assertEqual(self.serve(handle).wait("a", PATIENCE).phase, "stopped")

    def test_over_a_restart_of_brainjar(self) -> None:
        def change(h: Handler) -> None:
            if len(h.server.fake.requests) < 6:
                h.cut()
                return
            self.stands = experiment("succeeded")
            h.event(event(9))
            h.server.fake.gate.wait(PATIENCE)

        with mock.patch.object(self, "change", change):
            client = self.serve(self.handle)
            self.assertEqual(client.wait("a", PATIENCE).phase, "succeeded")

    def test_what_a_brainjar_says_that_comes_or_goes_does_not_count(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            if r.path != "/v1/events":
                return self.handle(h, r)
            # Before the stream begins: there is no event of it.
            if len(h.server.fake.requests) < 9:
                self.supervisor = {"ready": True, "leaving": True}
                self.stands = experiment("stopped")
            elif len(h.server.fake.requests) < 12:
                self.supervisor = {"ready": False}
                self.stands = experiment("idle")
            else:
                self.supervisor = {"ready": True}
                self.stands = experiment("succeeded")
            h.begin()
            h.server.fake.gate.wait(PATIENCE)

        self.assertEqual(self.serve(handle).wait("a", PATIENCE).phase, "succeeded")

    def test_brainjar_that_does_not_come_back(self) -> None:
        client = self.serve(self.handle)
        patience = mock.patch("brainjar.client.PATIENCE", 0.2)
        with patience, mock.patch.object(self, "change", lambda h: h.cut()):
            gone = threading.Timer(0.1, self.fake.leave)
            gone.start()
            self.addCleanup(gone.join)
            with self.assertRaisesRegex(brainjar.UnreachableError, "does not come back"):
                client.wait("a")

    def test_time_limit(self) -> None:
        self.stands = experiment("queued", reason="4 of 4 running")
        with mock.patch.object(self, "change", lambda h: h.server.fake.gate.wait(PATIENCE)):
            client = self.serve(self.handle)
            begun = time.monotonic()
            with self.assertRaisesRegex(TimeoutError, "a is still queued: 4 of 4 running") as caught:
                client.start("a", wait=True, timeout=0.2)
            self.assertLess(time.monotonic() - begun, PATIENCE / 2)
            self.assertIsInstance(caught.exception, brainjar.WaitTimeoutError)

    def test_unknown_is_told(self) -> None:
        client = self.serve(lambda h, r: h.json({"error": "no", "code": "unknown"}, 404))
        with self.assertRaises(brainjar.UnknownExperimentError):
            client.wait("a")

    def test_stop_waits_for_the_end(self) -> None:
        self.assertEqual(self.serve(self.handle).stop("a", wait=True).phase, "failed")

    def test_until_what_is_wished(self) -> None:
        e = self.serve(self.handle).until("a", lambda e: e.reason != "", PATIENCE)
        self.assertEqual(e.phase, "failed")
