import os
import pathlib
import signal
import unittest
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Tuple
from unittest import mock

import brainjar
from brainjar import BrainjarError, Client, transport

from .fake import PATIENCE, FakeTest, Handler, Request, experiment

Call = Callable[[Client], Any]
A = "/v1/experiments/a"


class RequestTest(FakeTest):
    """Each method sends what the API wants, and reads the answer."""

    CALLS: List[Tuple[Call, str, str, Dict[str, List[str]], Any]] = [
        (lambda c: c.get("a"), "GET", A, {}, None),
        (lambda c: c.get("a b/ü"), "GET", "/v1/experiments/a b/ü", {}, None),
        (lambda c: c.start("a"), "POST", A + "/start", {}, {}),
        (
            lambda c: c.start("a", pathlib.Path("x.json"), {"memory_max": "8G"}),
            "POST",
            A + "/start",
            {},
            {"config": "x.json", "keys": {"memory_max": "8G"}},
        ),
        (lambda c: c.stop("a"), "POST", A + "/stop", {}, None),
        (lambda c: c.restart("a"), "POST", A + "/restart", {}, None),
        (lambda c: c.hold("a"), "POST", A + "/hold", {}, {}),
        (lambda c: c.hold("a", "why"), "POST", A + "/hold", {}, {"reason": "why"}),
        (lambda c: c.release("a"), "POST", A + "/release", {}, None),
        (lambda c: c.freeze("a"), "POST", A + "/freeze", {}, None),
        (lambda c: c.thaw("a"), "POST", A + "/thaw", {}, None),
        (lambda c: c.kill("a"), "POST", A + "/kill", {}, {"signal": "SIGKILL", "whom": "all"}),
        (
            lambda c: c.kill("a", signal.SIGUSR1, "main"),
            "POST",
            A + "/kill",
            {},
            {"signal": "SIGUSR1", "whom": "main"},
        ),
        (lambda c: c.enable("a"), "POST", A + "/enable", {}, None),
        (lambda c: c.disable("a"), "POST", A + "/disable", {}, None),
        (lambda c: c.auto("a"), "POST", A + "/auto", {}, None),
        (lambda c: c.forget("a"), "POST", A + "/forget", {}, None),
        (lambda c: c.adopt("a", 7), "POST", A + "/adopt", {}, {"pid": 7}),
        (
            lambda c: c.adopt("a", 7, memory_max="1G"),
            "POST",
            A + "/adopt",
            {},
            {"pid": 7, "keys": {"memory_max": "1G"}},
        ),
        (
            lambda c: c.submit("a", ["sleep", pathlib.Path("60")], restart={"policy": "no"}, tags=("x", "y")),
            "PUT",
            A,
            {},
            {
                "keys": {
                    "command": ["sleep", "60"],
                    "restart": {"policy": "no"},
                    "tags": ["x", "y"],
                    "working_directory": os.getcwd(),
                }
            },
        ),
        (
            lambda c: c.submit("a", ["true"], working_directory=None),
            "PUT",
            A,
            {},
            {"keys": {"command": ["true"]}},
        ),
        (
            lambda c: c.set("a", memory_max="9G", cpu_quota=None),
            "PATCH",
            A,
            {},
            {"keys": {"memory_max": "9G", "cpu_quota": None}},
        ),
        (lambda c: c.release_all(), "POST", "/v1/release", {}, None),
    ]

    def test_experiments(self) -> None:
        client = self.serve(lambda h, r: h.json(experiment()))
        for call, method, path, query, body in self.CALLS:
            answer = call(client)
            self.assertEqual(self.fake.requests.pop(), Request(method, path, query, body))
            if answer is not None:
                self.assertEqual((answer.experiment, answer.phase), ("a", "running"))

    def test_status(self) -> None:
        client = self.serve(lambda h, r: h.json({"supervisor": {"slots": 4}, "experiments": [experiment()]}))
        self.assertEqual(client.status("a", "b", tag="t").experiments[0].experiment, "a")
        self.assertEqual(
            self.fake.requests.pop(), Request("GET", "/v1/status", {"id": ["a", "b"], "tag": ["t"]}, None)
        )

    def test_history(self) -> None:
        client = self.serve(lambda h, r: h.json([{"experiment": "a", "run": 2, "result": "oom-kill"}]))
        since = datetime(2026, 3, 1, tzinfo=timezone.utc)
        (run,) = client.history("a", since=since, result="oom-kill", lines=5)
        self.assertEqual((run.run, run.result), (2, "oom-kill"))
        self.assertEqual(
            self.fake.requests.pop().query,
            {"id": ["a"], "since": ["2026-03-01T00:00:00.000000Z"], "result": ["oom-kill"], "lines": ["5"]},
        )

    def test_configuration(self) -> None:
        plan = {"steps": [{"experiment": "a", "action": "change", "keys": ["memory_max"]}], "warnings": None}
        client = self.serve(lambda h, r: h.json(plan))
        self.assertEqual(client.plan().steps[0].keys, ["memory_max"])
        self.assertEqual(self.fake.requests.pop(), Request("GET", "/v1/plan", {}, None))
        self.assertEqual(client.reload(restart=True).warnings, [])
        self.assertEqual(self.fake.requests.pop(), Request("POST", "/v1/reload", {}, {"restart": True}))

    def test_why_sensors_version(self) -> None:
        why = {"experiment": experiment("failed"), "sentences": ["It failed."], "at": 5, "version": "1"}
        client = self.serve(lambda h, r: h.json(why))
        self.assertEqual(client.why("a").sentences, ["It failed."])
        self.assertEqual(client.sensors()["at"], 5)
        self.assertEqual(client.version()["version"], "1")
        self.assertEqual([r.path for r in self.fake.requests], [A + "/why", "/v1/sensors", "/v1/version"])

    def test_wrong_arguments_are_not_sent(self) -> None:
        client = self.serve(lambda h, r: h.json(experiment()))
        calls: List[Callable[[], Any]] = [
            lambda: client.submit("a", "sleep 60"),
            lambda: client.get(""),
            lambda: client.get(".."),
            lambda: client.kill("a", 4711),
            lambda: client.history(since="soon"),
        ]
        for call in calls:
            with self.assertRaises((TypeError, ValueError)):
                call()
        self.assertEqual(self.fake.requests, [])


class ErrorTest(FakeTest):
    def test_each_code_has_its_class(self) -> None:
        for code, status, kind in (
            ("bad-request", 400, brainjar.BadRequestError),
            ("forbidden", 403, brainjar.ForbiddenError),
            ("unknown", 404, brainjar.UnknownExperimentError),
            ("no-route", 404, brainjar.BadRequestError),
            ("conflict", 409, brainjar.ConflictError),
            ("too-large", 413, brainjar.BadRequestError),
            ("config", 422, brainjar.ConfigError),
            ("not-admitted", 422, brainjar.NotAdmittedError),
            ("internal", 500, BrainjarError),
            ("behind", 410, brainjar.EventsLostError),
            ("timeout", 504, brainjar.AnswerTimeoutError),
            ("no-journal", 501, brainjar.NoJournalError),
            ("not-ready", 503, brainjar.NotReadyError),
            ("not-written", 507, brainjar.NotWrittenError),
            ("of-a-later-brainjar", 418, BrainjarError),
        ):
            body = {"error": "no", "hint": "do this", "code": code, "details": ["x", "y"]}

            def handle(h: Handler, r: Request, body: Any = body, status: int = status) -> None:
                h.json(body, status)

            with self.assertRaises(BrainjarError) as caught:
                self.serve(handle).start("a")
            err = caught.exception
            self.assertIs(type(err), kind, code)
            self.assertEqual((err.code, err.status), (code, status))
            self.assertEqual((err.hint, err.details), ("do this", ["x", "y"]))
            self.assertEqual(str(err), "no; x; y (do this)")

    def test_refusal_that_is_no_json(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.send_error(502)

        with self.assertRaisesRegex(BrainjarError, "brainjar answered 502"):
            self.serve(handle).get("a")

    def test_answer_that_is_no_json(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            h.chunk(b"hello")
            h.end()

        with self.assertRaisesRegex(BrainjarError, "it is no JSON"):
            self.serve(handle).get("a")

    def test_answer_that_is_cut(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            h.chunk(b'{"experiment": "a", ')
            h.cut()

        with self.assertRaisesRegex(brainjar.UnreachableError, "cut off"):
            self.serve(handle).get("a")

    def test_answer_that_is_too_long(self) -> None:
        client = self.serve(lambda h, r: h.json(experiment(reason="x" * 100)))
        with mock.patch.object(transport, "MAX_ANSWER", 99):
            with self.assertRaisesRegex(BrainjarError, "more than 99 bytes"):
                client.get("a")

    def test_nobody_listens(self) -> None:
        client = self.serve(lambda h, r: None)
        self.fake.leave()
        with self.assertRaisesRegex(brainjar.UnreachableError, "No such file.*does it run"):
            client.get("a")

    def test_socket_that_may_not_be_opened(self) -> None:
        client = self.serve(lambda h, r: None)
        with mock.patch("socket.socket.connect", side_effect=PermissionError(13, "Permission denied")):
            with self.assertRaisesRegex(brainjar.ForbiddenError, "group brainjar"):
                client.get("a")

    def test_brainjar_that_hangs(self) -> None:
        hangs = self.serve(lambda h, r: h.cut() if h.server.fake.gate.wait(PATIENCE) else None)
        with mock.patch.object(transport, "ANSWER_LIMIT", 0.2):
            with self.assertRaisesRegex(brainjar.UnreachableError, "did not answer in time"):
                hangs.get("a")

    def test_brainjar_that_dribbles(self) -> None:
        def handle(h: Handler, r: Request) -> None:
            h.begin()
            while not h.server.fake.gate.wait(0.02):
                h.chunk(b" ")

        client = self.serve(handle)
        with mock.patch.object(transport, "ANSWER_LIMIT", 0.3):
            with self.assertRaisesRegex(brainjar.UnreachableError, "did not answer in time"):
                client.get("a")


class SocketTest(unittest.TestCase):
    def test_default_sockets(self) -> None:
        with mock.patch.dict(os.environ, {"XDG_RUNTIME_DIR": "/run/user/7"}, clear=True):
            self.assertEqual(transport.default_socket(False), "/run/brainjar/control.sock")
            self.assertEqual(transport.default_socket(True), "/run/user/7/brainjar/control.sock")
        with mock.patch.dict(os.environ, {}, clear=True):
            self.assertEqual(transport.default_socket(True), f"/run/user/{os.getuid()}/brainjar/control.sock")
        with mock.patch.dict(os.environ, {"BRAINJAR_SOCKET": "/x"}):
            self.assertEqual(transport.default_socket(False), "/x")
