import logging
import os
import socket
import subprocess
import tempfile
from typing import Any, Dict, List, Tuple
from unittest import mock

from brainjar import ServiceState, SystemdManager, SystemdWebMonitor, manager

from .fake import PATIENCE, FakeTest, Handler, Request, experiment


class ManagerTest(FakeTest):
    """The old interface, on a brainjar that has the experiments in ``stands``."""

    def setUp(self) -> None:
        self.stands: Dict[str, Dict[str, Any]] = {"a": experiment()}
        logging.getLogger("brainjar").setLevel(logging.CRITICAL)
        self.addCleanup(logging.getLogger("brainjar").setLevel, logging.NOTSET)
        self.manager = SystemdManager(client=self.serve(self.handle))

    def handle(self, h: Handler, r: Request) -> None:
        id = r.path.split("/")[3] if r.path.startswith("/v1/experiments/") else ""
        if r.path == "/v1/status":
            h.json({"supervisor": {"ready": True}, "experiments": list(self.stands.values())})
        elif r.path == "/v1/events":
            h.begin()
            self.fake.gate.wait(PATIENCE)
        elif r.path == "/v1/logs":
            h.begin()
            for n in range(3):
                line = {"experiment": "a", "pid": 7, "message": f"line {n}", "at": "2026-03-01T10:00:00Z"}
                h.event(line)
            h.event({}, event="end")
            h.end()
        elif id in self.stands:
            h.json(self.stands[id])
        else:
            h.json({"error": f"no such experiment: {id}", "code": "unknown"}, 404)

    def orders(self) -> List[str]:
        return [r.path[len("/v1/experiments/") :] for r in self.fake.requests if r.method == "POST"]

    def test_start_with_the_variables_of_old(self) -> None:
        with tempfile.NamedTemporaryFile() as config:
            variables = {
                "EXPERIMENT_RAM_LIMIT": "8G",
                "EXPERIMENT_CPU_QUOTA": "100%",
                "NVPMODEL_MODE": "0",
                "MAX_TEMP_CELSIUS": "80",
                "SEED": "7",
            }
            path = os.path.relpath(config.name)
            self.assertTrue(self.manager.start_experiment("a", path, env_vars=variables))
            body = self.fake.requests[0].body
        self.assertEqual(body["config"], config.name)
        self.assertEqual(
            body["keys"],
            {
                "memory_max": "8G",
                "cpu_quota": "100%",
                "power_mode": "0",
                "max_temperature": 80.0,
                "environment": {"SEED": "7"},
            },
        )

    def test_start_without_a_config_file(self) -> None:
        with self.assertRaises(FileNotFoundError):
            self.manager.start_experiment("a", "/nonexistent.json")
        self.assertTrue(self.manager.start_experiment("a", ""))
        self.assertEqual(self.fake.requests[0].body, {})

    def test_start_says_what_came_of_it(self) -> None:
        for phase, reason, want in (
            ("running", "", True),
            ("queued", "4 of 4 running", True),
            ("succeeded", "", True),
            ("failed", "no such program", False),
            ("backoff", "exit code 1", False),
            ("held", "by hand", False),
        ):
            self.stands["a"] = experiment(phase, reason=reason)
            self.assertIs(self.manager.start_experiment("a", ""), want, phase)

    def test_start_that_takes_long_goes_on(self) -> None:
        self.stands["a"] = experiment("starting")
        with mock.patch.object(manager, "START_LIMIT", 0.1):
            self.assertTrue(self.manager.start_experiment("a", ""))

    def test_start_with_wrong_values(self) -> None:
        self.assertFalse(self.manager.start_experiment("a", "", {"MAX_TEMP_CELSIUS": "hot"}))

    def test_stop(self) -> None:
        self.stands["a"] = experiment("stopping")
        self.assertFalse(self.manager.stop_experiment("a", timeout_seconds=0.1))
        self.stands["a"] = experiment("stopped")
        self.assertTrue(self.manager.stop_experiment("a"))
        self.assertEqual(self.orders(), ["a/stop", "a/stop"])

    def test_restart(self) -> None:
        self.stands["a"] = experiment("succeeded", run=1)
        self.assertTrue(self.manager.restart_experiment("a"))
        self.stands["a"] = experiment("running", run=1)  # and never run 2
        with mock.patch.object(manager, "START_LIMIT", 0.1):
            self.assertTrue(self.manager.restart_experiment("a"))
        self.assertEqual(self.orders(), ["a/restart", "a/restart"])

    def test_status(self) -> None:
        self.stands["a"] = experiment(
            pid=4711,
            memory_current=(100 << 20) + 5,
            memory_peak=200 << 20,
            memory_max=8 << 30,
            cpu_percent=99.5,
            started_at="2026-03-01T10:00:00Z",
            attempt=2,
            last_result="oom-kill",
            unit="brainjar-a.service",
        )
        status = self.manager.get_status("a")
        assert status is not None
        self.assertEqual((status.state.value, status.sub_state.value), ("active", "running"))
        self.assertEqual(status.memory_limit, 8 << 30)
        self.assertEqual(
            status.to_dict(),
            {
                "experiment_id": "a",
                "service_name": "brainjar-a.service",
                "state": "active",
                "sub_state": "running",
                "pid": 4711,
                "memory_current_mb": 100,
                "memory_peak_mb": 200,
                "memory_limit_mb": 8192,
                "cpu_usage_percent": 99.5,
                "active_since": "2026-03-01T10:00:00+00:00",
                "restart_count": 2,
                "last_error": "oom-kill",
            },
        )

    def test_each_phase_has_a_state(self) -> None:
        for phase, state in {
            "idle": "inactive",
            "queued": "activating",
            "starting": "activating",
            "running": "active",
            "frozen": "active",
            "stopping": "deactivating",
            "backoff": "activating",
            "held": "inactive",
            "succeeded": "inactive",
            "failed": "failed",
            "stopped": "inactive",
            "of-a-later-brainjar": "unknown",
        }.items():
            self.stands["a"] = experiment(phase, reason="why")
            status = self.manager.get_status("a")
            assert status is not None
            self.assertEqual(status.state.value, state, phase)
            self.assertEqual(status.last_error, "why" if phase in ("failed", "backoff") else None)
            self.assertEqual(status.service_name, "brainjar-a.service")

    def test_logs(self) -> None:
        text = self.manager.get_logs("a", lines=3, since="@0")
        host = socket.gethostname().partition(".")[0]
        self.assertRegex(text.splitlines()[0], rf"^Mar 01 \d\d:00:00 {host} brainjar-a\[7\]: line 0$")
        self.assertEqual(len(text.splitlines()), 3)
        self.assertEqual(self.fake.requests[0].query["lines"], ["3"])
        self.manager.get_logs("a", lines=0)
        self.assertNotIn("lines", self.fake.requests[1].query)
        self.assertEqual(self.manager.get_logs("a", since="whenever"), "")

    def test_following_logs_prints_and_keeps_the_last(self) -> None:
        with mock.patch("builtins.print") as printed:
            text = self.manager.get_logs("a", lines=2, follow=True)
        self.assertEqual(printed.call_count, 3)
        self.assertEqual([line[-6:] for line in text.splitlines()], ["line 1", "line 2"])

    def test_all(self) -> None:
        self.stands = {
            "on": experiment("idle", experiment="on", autostart=True),
            "off": experiment("idle", experiment="off"),
            "held": experiment("held", experiment="held", autostart=True, hold="by hand"),
            "runs": experiment("running", experiment="runs", autostart=True),
        }
        self.assertEqual(self.manager.list_experiments(), ["on", "off", "held", "runs"])
        self.assertEqual(self.manager.get_all_statuses()["runs"].state, ServiceState.ACTIVE)
        self.assertTrue(self.manager.start_all_experiments())
        self.assertTrue(self.manager.stop_all_experiments())
        self.assertEqual(self.orders(), ["on/start", "held/stop", "runs/stop"])

    def test_enable_and_disable(self) -> None:
        self.assertTrue(self.manager.enable_experiment("a"))
        self.assertTrue(self.manager.disable_experiment("a"))
        self.assertEqual(self.orders(), ["a/enable", "a/disable"])

    def test_no_such_experiment(self) -> None:
        self.assertIsNone(self.manager.get_status("b"))
        self.assertFalse(self.manager.start_experiment("b", ""))
        self.assertFalse(self.manager.stop_experiment("b"))
        self.assertFalse(self.manager.restart_experiment("b"))
        self.assertFalse(self.manager.enable_experiment("b"))
        self.assertFalse(self.manager.disable_experiment(""))

    def test_no_brainjar(self) -> None:
        self.fake.leave()
        self.assertIsNone(self.manager.get_status("a"))
        self.assertEqual(self.manager.get_logs("a"), "")
        self.assertEqual(self.manager.list_experiments(), [])
        self.assertEqual(self.manager.get_all_statuses(), {})
        self.assertFalse(self.manager.start_experiment("a", ""))
        self.assertFalse(self.manager.start_all_experiments())
        self.assertFalse(self.manager.stop_all_experiments())

    def test_web_monitor(self) -> None:
        self.stands["a"] = experiment(memory_current=5 << 20)
        self.stands["b"] = experiment("failed", experiment="b")
        browsers = mock.Mock()
        monitor = SystemdWebMonitor(self.manager, browsers)
        data = monitor.get_dashboard_data()
        self.assertEqual(
            data["summary"], {"total_experiments": 2, "running": 1, "stopped": 1, "total_memory_mb": 5}
        )
        self.assertEqual(data["experiments"]["b"]["state"], "failed")
        monitor.emit_status_update("a")
        name, sent = browsers.emit.call_args[0]
        self.assertEqual((name, sent["experiment_id"]), ("experiment_status", "a"))
        self.assertEqual(sent["status"]["state"], "active")
        browsers.emit.reset_mock()
        monitor.emit_status_update("nobody")
        browsers.emit.assert_not_called()
        SystemdWebMonitor(self.manager).emit_status_update("a")


class CoordinatorTest(FakeTest):
    """brainjar itself is started and stopped by systemctl, with fixed arguments."""

    def test_commands(self) -> None:
        cases: List[Tuple[Dict[str, Any], int, List[str]]] = [
            ({}, 0, ["systemctl", "start", "brainjar.service"]),
            ({}, 1000, ["sudo", "--non-interactive", "systemctl", "start", "brainjar.service"]),
            ({"use_sudo": False}, 1000, ["systemctl", "start", "brainjar.service"]),
            ({"user": True}, 1000, ["systemctl", "--user", "start", "brainjar.service"]),
        ]
        for arguments, uid, want in cases:
            with mock.patch("os.geteuid", return_value=uid), mock.patch("subprocess.run") as run:
                self.assertTrue(SystemdManager(**arguments).start_coordinator())
            self.assertEqual(run.call_args[0][0], want)
            self.assertGreater(run.call_args[1]["timeout"], 0)

    def test_trouble_is_false(self) -> None:
        for trouble in (
            FileNotFoundError(2, "systemctl"),
            subprocess.TimeoutExpired("systemctl", 1),
            subprocess.CalledProcessError(1, "systemctl", b"Unit not found."),
        ):
            with mock.patch("subprocess.run", side_effect=trouble):
                with self.assertLogs("brainjar", "ERROR") as log:
                    self.assertFalse(SystemdManager().stop_coordinator())
            self.assertIn("cannot stop brainjar", log.output[0])
