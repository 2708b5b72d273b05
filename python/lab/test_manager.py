import json
import subprocess
from typing import Any, Dict, List

# As the old programs have it, but for the import line.
from brainjar import SystemdManager, SystemdWebMonitor

from .house import PATIENCE, HouseTest, answers, eventually

CONFIG = "/etc/brainjar/amnesiac_001.json"


class ManagerTest(HouseTest):
    def setUp(self) -> None:
        super().setUp()
        self.manager = SystemdManager()
        with open(CONFIG, "w", encoding="utf-8") as file:
            json.dump({"name": "the config"}, file)

    def test_usage_of_old(self) -> None:
        manager = self.manager
        started = manager.start_experiment(
            "amnesiac_001", CONFIG, env_vars={"EXPERIMENT_RAM_LIMIT": "8G", "SEED": "7"}
        )
        self.assertTrue(started)
        status = manager.get_status("amnesiac_001")
        assert status is not None
        self.assertEqual(status.state.value, "active")
        self.assertEqual(status.memory_limit, 8 << 30)
        self.assertEqual(status.service_name, "brainjar-amnesiac_001.service")
        assert status.pid and status.active_since
        self.assertEqual(json.loads(json.dumps(status.to_dict()))["memory_limit_mb"], 8192)
        eventually("logged", lambda: "seed 7" in manager.get_logs("amnesiac_001", lines=50))
        self.assertIn("the config", manager.get_logs("amnesiac_001", since="1 hour ago"))
        self.assertIn("amnesiac_001", manager.list_experiments())
        self.assertTrue(manager.stop_experiment("amnesiac_001", timeout_seconds=20))
        stopped = manager.get_status("amnesiac_001")
        assert stopped is not None
        self.assertEqual((stopped.state.value, stopped.pid), ("inactive", None))

    def test_restart_and_all(self) -> None:
        self.assertTrue(self.manager.enable_experiment("sleeper"))
        self.addCleanup(self.client.auto, "sleeper")
        self.assertTrue(self.manager.start_all_experiments())
        first = self.client.until("sleeper", lambda e: e.phase == "running", PATIENCE)
        self.assertEqual(self.client.get("talker").phase in ("running", "starting", "queued"), False)
        self.assertTrue(self.manager.restart_experiment("sleeper"))
        again = self.client.until("sleeper", lambda e: e.phase == "running", PATIENCE)
        self.assertEqual(again.run, first.run + 1)
        self.assertTrue(self.manager.stop_all_experiments())
        self.client.until("sleeper", lambda e: e.over, PATIENCE)
        self.assertTrue(self.manager.disable_experiment("sleeper"))

    def test_failure_is_false(self) -> None:
        self.client.start("failer")
        self.client.wait("failer", PATIENCE)
        status = self.manager.get_status("failer")
        assert status is not None
        self.assertEqual((status.state.value, status.sub_state.value), ("failed", "failed"))
        self.assertTrue(status.last_error)
        with self.assertLogs("brainjar", "ERROR"):
            self.assertFalse(self.manager.stop_experiment("nobody"))

    def test_dashboard(self) -> None:
        self.client.start("sleeper", wait=True, timeout=PATIENCE)
        sent: List[Dict[str, Any]] = []

        class Browsers:
            def emit(self, name: str, data: Dict[str, Any]) -> None:
                sent.append({name: data})

        monitor = SystemdWebMonitor(self.manager, Browsers())
        data = json.loads(json.dumps(monitor.get_dashboard_data()))
        self.assertEqual(data["summary"]["running"], 1)
        self.assertEqual(data["experiments"]["sleeper"]["state"], "active")
        monitor.emit_status_update("sleeper")
        self.assertEqual(sent[0]["experiment_status"]["status"]["state"], "active")

    def test_coordinator(self) -> None:
        start = ["systemctl", "start", "brainjar.service"]
        self.addCleanup(lambda: subprocess.run(start, timeout=PATIENCE, check=True))
        self.assertTrue(self.manager.stop_coordinator())
        with self.assertLogs("brainjar", "ERROR"):
            self.assertIsNone(self.manager.get_status("sleeper"))
        self.assertTrue(self.manager.start_coordinator())
        eventually("ready", lambda: answers(self.client))
