package supervisor_test

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"brainjar/supervisor"
	"brainjar/transient"
)

func drainSavesAll(st stage) {
	text := strings.Replace(head, "max_concurrent = 8", "max_concurrent = 20", 1)
	text = strings.Replace(text, `stop_timeout = "1s"`, `stop_timeout = "10s"`, 1)
	var ids []string
	for i := range 20 {
		id := fmt.Sprintf("e%02d", i)
		ids = append(ids, id)
		if i < 5 {
			text += experiment(id, "checkpoint_signal = \"SIGUSR1\"\ncheckpoint_timeout = \"8s\"", "on=USR1:sleep=3s,exit=7", "sleep=1h")
		} else {
			text += experiment(id, "", "on=TERM:exit=7", "sleep=1h")
		}
	}
	h := st.begin(text)
	h.awaitPhase(supervisor.Running, 20*time.Second, ids...)
	st.settle()
	took := h.drain()
	if took >= stretched(5*time.Second) {
		st.Errorf("took %v, want less than 5s", took)
	}
	for _, id := range ids {
		if ends := h.ends(id); len(ends) != 1 || ends[0].ExitCode != 7 || ends[0].Result != transient.Stopped {
			st.Errorf("%s was not saved: %+v", id, ends)
		}
	}
	if strings.Contains(h.logged(), "killing") {
		st.Errorf("something was killed")
	}
}

// settle gives real programs the time to install their signal handlers, which
// systemd does not wait for.
func (st stage) settle() {
	if st.real {
		time.Sleep(500 * time.Millisecond)
	}
}

func drainKills(st stage) {
	h := st.begin(head + experiment("stubborn", "", "ignore=TERM", "sleep=1h") + experiment("meek", "", "sleep=1h"))
	h.awaitPhase(supervisor.Running, 10*time.Second, "stubborn", "meek")
	st.settle()
	if took := h.drain(); took < time.Second || took > stretched(4*time.Second) {
		st.Errorf("took %v, want its stop_timeout of 1s and a little", took)
	}
	end := h.ends("stubborn")[0]
	if !end.KilledAtStop || end.Signal != syscall.SIGKILL || end.Result != transient.Stopped {
		st.Errorf("stubborn: %+v", end)
	}
	if !strings.Contains(h.logged(), "did not end within its stop_timeout, killed") {
		st.Errorf("the kill was not reported")
	}
	if end := h.ends("meek")[0]; end.KilledAtStop {
		st.Errorf("meek: %+v", end)
	}
}

func secondSignal(st stage) {
	text := strings.Replace(head, `stop_timeout = "1s"`, `stop_timeout = "60s"`, 1)
	h := st.begin(text + experiment("stubborn", "", "ignore=TERM", "sleep=1h"))
	h.awaitPhase(supervisor.Running, 10*time.Second, "stubborn")
	st.settle()
	h.Drain()
	h.awaitPhase(supervisor.Stopping, 5*time.Second, "stubborn")
	if took := h.drain(); took > stretched(3*time.Second) {
		st.Errorf("a second request took %v", took)
	}
	if end := h.ends("stubborn"); len(end) != 1 || end[0].Signal != syscall.SIGKILL {
		st.Errorf("ended with %+v", end)
	}
}

// A program may say that it has saved its work instead of ending.
func checkpointStatus(st stage) {
	text := strings.Replace(head, `stop_timeout = "1s"`, `stop_timeout = "10s"`, 1)
	h := st.begin(text + experiment("saver", "checkpoint_signal = \"SIGUSR1\"\ncheckpoint_timeout = \"30s\"",
		"on=USR1:sleep=300ms,status=BRAINJAR_CHECKPOINT=1", "on=TERM:exit=7", "sleep=1h"))
	h.awaitPhase(supervisor.Running, 10*time.Second, "saver")
	st.settle()
	if took := h.drain(); took > stretched(5*time.Second) {
		st.Errorf("took %v, although the checkpoint was saved at once", took)
	}
	if end := h.ends("saver"); len(end) != 1 || end[0].ExitCode != 7 {
		st.Errorf("ended with %+v", end)
	}
}

// A program that has not yet said that it is ready is ended like any other.
func drainLoader(st stage) {
	h := st.begin(head + experiment("loader", "ready = \"notify\"\ncheckpoint_signal = \"SIGUSR1\"", "sleep=1h"))
	h.awaitPhase(supervisor.Starting, 10*time.Second, "loader")
	h.await("its unit exists", 10*time.Second, func() bool {
		_, err := h.Usage("brainjar-loader.service")
		return err == nil
	})
	if took := h.drain(); took > stretched(4*time.Second) {
		st.Errorf("took %v", took)
	}
	if end := h.ends("loader"); len(end) != 1 || end[0].Result != transient.Stopped {
		st.Errorf("ended with %+v", end)
	}
}
