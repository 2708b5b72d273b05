import grp
import os
import signal
import subprocess
import sys
import threading
from typing import List

import brainjar
from brainjar import Client

from .house import PATIENCE, HouseTest, answers, eventually, kill_brainjar

SHORT = ["queued", "starting", "running", "succeeded"]


class OrderTest(HouseTest):
    def test_status(self) -> None:
        status = self.client.status()
        self.assertTrue(status.supervisor.ready)
        self.assertEqual((status.supervisor.slots, status.supervisor.memory_budget), (4, 12 << 30))
        self.assertEqual([e.experiment for e in status.experiments], ["sleeper", "talker", "failer", "short"])
        self.assertEqual([e.experiment for e in self.client.status(tag="quiet").experiments], ["sleeper"])
        self.assertEqual(self.client.version()["api"], "v1")

    def test_start_and_stop(self) -> None:
        e = self.client.start("sleeper", wait=True, timeout=PATIENCE)
        self.assertEqual((e.phase, e.unit, e.memory_max), ("running", "brainjar-sleeper.service", 64 << 20))
        assert e.pid and e.started_at and e.since
        with open(f"/proc/{e.pid}/comm", encoding="ascii") as comm:
            self.assertEqual(comm.read(), "sleep\n")
        e = self.client.stop("sleeper", wait=True, timeout=PATIENCE)
        self.assertEqual(e.phase, "stopped")

    def test_restart(self) -> None:
        first = self.client.start("sleeper", wait=True, timeout=PATIENCE)
        self.client.restart("sleeper")
        again = self.client.until("sleeper", lambda e: e.run > first.run and e.phase == "running", PATIENCE)
        self.assertNotEqual(again.pid, first.pid)

    def test_failure_is_explained(self) -> None:
        self.client.start("failer")
        e = self.client.wait("failer", PATIENCE)
        self.assertEqual((e.phase, e.last_result), ("failed", "exit-code"))
        (run,) = self.client.history("failer", lines=1)
        self.assertEqual((run.run, run.exit_code, run.result), (e.run, 3, "exit-code"))
        why = self.client.why("failer")
        self.assertTrue(why.sentences)
        assert why.last_run is not None
        self.assertEqual(why.last_run.exit_code, 3)

    def test_limits_change_while_it_runs(self) -> None:
        before = self.client.start("sleeper", keys={"memory_max": "96M"}, wait=True, timeout=PATIENCE)
        self.assertEqual(before.memory_max, 96 << 20)
        self.assertEqual(self.client.set("sleeper", memory_max="128M").memory_max, 128 << 20)
        after = self.client.set("sleeper", memory_max=None)
        self.assertEqual((after.memory_max, after.pid), (64 << 20, before.pid))

    def test_hold_and_release(self) -> None:
        self.client.start("sleeper", wait=True, timeout=PATIENCE)
        self.client.stop("sleeper", wait=True, timeout=PATIENCE)
        held = self.client.hold("sleeper", "not now")
        self.assertEqual(held.phase, "held")
        self.assertIn("not now", held.hold)
        self.client.release("sleeper")
        self.client.until("sleeper", lambda e: e.phase == "running", PATIENCE)
        self.client.hold("short")
        self.client.release_all()
        self.assertEqual(self.client.wait("short", PATIENCE).phase, "succeeded")

    def test_freeze_thaw_kill(self) -> None:
        self.client.start("sleeper", wait=True, timeout=PATIENCE)
        self.client.freeze("sleeper")
        self.client.until("sleeper", lambda e: e.phase == "frozen", PATIENCE)
        self.client.thaw("sleeper")
        self.client.until("sleeper", lambda e: e.phase == "running", PATIENCE)
        self.client.kill("sleeper", signal.SIGUSR1, "main")
        self.assertEqual(self.client.wait("sleeper", PATIENCE).last_result, "signal")

    def test_enable_and_disable(self) -> None:
        self.assertTrue(self.client.enable("sleeper").autostart)
        self.assertFalse(self.client.disable("sleeper").autostart)
        self.assertIsNone(self.client.auto("sleeper").enabled)

    def test_submit(self) -> None:
        self.submit("mine", "echo hello; sleep 0.2; echo bye", tags=["x"])
        self.assertEqual(self.client.wait("mine", PATIENCE).phase, "succeeded")
        eventually("logged", lambda: self.said("mine")[-1:] == ["bye"])
        self.assertEqual(self.said("mine"), ["hello", "bye"])
        self.client.forget("mine")
        self.refused(brainjar.UnknownExperimentError, lambda: self.client.get("mine"))

    def said(self, id: str) -> List[str]:
        with self.client.logs(id) as lines:
            return [line.message for line in lines]

    def test_adopt(self) -> None:
        process = subprocess.Popen(["sleep", "infinity"])
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.kill)
        self.client.adopt("found", process.pid)
        e = self.client.until("found", lambda e: e.phase == "running", PATIENCE)
        self.assertEqual((e.unit, e.kind), ("brainjar-found.scope", "scope"))
        with open(f"/proc/{process.pid}/cgroup", encoding="ascii") as groups:
            self.assertIn("brainjar-found.scope", groups.read())

    def test_plan_and_reload(self) -> None:
        path = self.client.status().supervisor.config
        with open(path, encoding="utf-8") as file:
            text = file.read()
        before = self.client.start("sleeper", wait=True, timeout=PATIENCE)
        self.addCleanup(self.client.reload)
        self.addCleanup(lambda: write(path, text))
        write(path, text.replace('tags = ["quiet"]', 'tags = ["quiet"]\nmemory_max = "80M"'))
        (step,) = self.client.plan().steps
        self.assertEqual((step.experiment, step.keys), ("sleeper", ["memory_max"]))
        self.assertEqual(self.client.reload().steps, [step])
        after = self.client.get("sleeper")
        self.assertEqual((after.memory_max, after.pid), (80 << 20, before.pid))
        self.assertEqual(self.client.plan().steps, [])
        write(path, text + "\n[experiments.sleeper2]\nmemory_mx = 3\n")
        err = self.refused(brainjar.ConfigError, self.client.plan)
        self.assertIn("memory_mx", str(err))


class RefusalTest(HouseTest):
    def test_refusals(self) -> None:
        c = self.client
        self.client.start("sleeper", wait=True, timeout=PATIENCE)
        self.refused(brainjar.UnknownExperimentError, lambda: c.stop("nobody"))
        self.refused(brainjar.ConflictError, lambda: c.submit("sleeper", ["true"]))
        self.refused(brainjar.ConflictError, lambda: c.thaw("sleeper"))
        err = self.refused(brainjar.ConfigError, lambda: c.submit("x", ["true"], memory_mx="1G"))
        self.assertIn("memory_max", str(err))
        self.refused(brainjar.NotAdmittedError, lambda: c.submit("x", ["true"], memory_max="900G"))
        self.refused(brainjar.BadRequestError, lambda: c.kill("sleeper", "SIGNOTHING"))

    def test_others_are_kept_out(self) -> None:
        self.assertIn("group brainjar", as_nobody(["65534"], "refused(brainjar.ForbiddenError, c.status)"))

    def test_members_may_do_less_than_root(self) -> None:
        said = as_nobody(
            [str(grp.getgrnam("brainjar").gr_gid)],
            """
print(c.start("short", wait=True, timeout=30).experiment)
c.submit("mine", ["sh", "-c", "test $(id -u) = 65534"], working_directory="/tmp")
print(c.wait("mine", 30).phase, c.get("mine").owner)
c.forget("mine")
refused(brainjar.ForbiddenError, lambda: c.submit("x", ["true"], user="root"))
refused(brainjar.ForbiddenError, lambda: c.submit("x", ["true"], sandbox="off"))
refused(brainjar.ForbiddenError, lambda: c.set("sleeper", memory_max="1G"))
refused(brainjar.ForbiddenError, c.reload)
""",
        )
        self.assertEqual(said.splitlines()[:2], ["short", "succeeded nobody"])
        self.assertEqual(len(said.splitlines()), 6, said)


def as_nobody(groups: List[str], script: str) -> str:
    """Runs a script as the user nobody with these groups, and returns what it printed."""
    prelude = f"""
import brainjar, os
os.setgroups([{", ".join(groups)}])
os.setgid(65534)
os.setuid(65534)
c = brainjar.Client()
def refused(kind, do):
    try:
        do()
    except kind as err:
        print(err)
"""
    done = subprocess.run(
        [sys.executable, "-c", prelude + script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=2 * PATIENCE,
        encoding="utf-8",
    )
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return done.stdout


class StreamTest(HouseTest):
    def test_events_over_a_death_of_brainjar(self) -> None:
        with self.client.events("short") as events:
            self.client.start("short")
            first = [next(events) for _ in SHORT]
            self.assertEqual([e.to_phase for e in first], SHORT)
            kill_brainjar(self.client)
            starter = threading.Thread(target=self.start_when_ready)
            starter.start()
            self.addCleanup(starter.join)
            second = [next(events) for _ in SHORT]
        self.assertEqual([e.to_phase for e in second], SHORT)
        ids = [e.id for e in first + second]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual({e.run for e in second[1:]}, {first[-1].run + 1})

    def start_when_ready(self) -> None:
        client = Client()
        eventually("ready", lambda: answers(client))
        client.start("short")

    def test_nothing_is_missed_between_two_brainjars(self) -> None:
        self.client.start("short")
        self.client.wait("short", PATIENCE)
        self.submit("lasting", "sleep infinity")
        self.client.until("lasting", lambda e: e.phase == "running", PATIENCE)
        with self.client.events("lasting") as events:  # which has seen no event yet
            kill_brainjar(self.client)
            subprocess.run(["systemctl", "stop", "brainjar-lasting.service"], check=True, timeout=PATIENCE)
            self.assertEqual(next(events).to_phase, "stopped")

    def test_waiting_over_a_death_of_brainjar(self) -> None:
        self.submit("lasting", "while [ ! -e $FLAG ]; do sleep 0.1; done; exit 7", environment={"FLAG": FLAG})
        before = self.client.until("lasting", lambda e: e.phase == "running", PATIENCE)
        got: List[brainjar.Experiment] = []
        waiter = threading.Thread(target=lambda: got.append(self.client.wait("lasting", PATIENCE)))
        waiter.start()
        kill_brainjar(self.client)
        self.addCleanup(os.unlink, FLAG)
        write(FLAG, "")
        waiter.join(PATIENCE)
        self.assertEqual([(e.phase, e.run) for e in got], [("failed", before.run)])

    def test_output_as_it_comes(self) -> None:
        self.client.start("talker", wait=True, timeout=PATIENCE)
        run = self.client.get("talker").run
        with self.client.logs("talker", follow=True, run=run) as lines:
            said: List[str] = []
            for line in lines:
                if line.message.startswith("line "):
                    self.assertEqual(line.run, run)
                    said.append(line.message)
                if len(said) == 5:
                    break
        first = int(said[0].split()[1])
        self.assertEqual(said, [f"line {first + n}" for n in range(5)])


# Where a sandbox lets it be seen.
FLAG = "/etc/brainjar/flag"


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
