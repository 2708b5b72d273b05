package supervisor

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"brainjar/transient"
)

func policy(change func(*RestartPolicy)) RestartPolicy {
	p := RestartPolicy{
		OnFailure: true, MaxRestarts: 3, ResetAfter: 10 * time.Minute,
		Backoff:      BackoffPolicy{Delay: 5 * time.Second, Factor: 2, Max: 5 * time.Minute},
		SuccessCodes: []int{0}, FatalCodes: []int{78}, CheckpointCodes: []int{85}, MaxRequeues: 5,
	}
	if change != nil {
		change(&p)
	}
	return p
}

func exit(code int) transient.Outcome {
	if code == 0 {
		return transient.Outcome{Result: transient.Success}
	}
	return transient.Outcome{Result: transient.ExitCode, ExitCode: code}
}

func TestJudge(t *testing.T) {
	killed := transient.Outcome{Result: transient.Signal, ExitCode: -1, Signal: syscall.SIGKILL}
	oom := transient.Outcome{Result: transient.OOMKill, ExitCode: -1, Signal: syscall.SIGKILL, OOMKills: 1}
	outside := transient.Outcome{Result: transient.Stopped, ExitCode: -1, Signal: syscall.SIGTERM, StopRequested: true}
	for _, test := range []struct {
		name   string
		ending Ending
		policy RestartPolicy
		want   Next // Reason: a part of it
	}{
		{"success", Ending{Outcome: exit(0), Attempt: 2}, policy(nil),
			Next{Result: transient.Success, Phase: Succeeded, Reason: "code 0"}},
		{"success code", Ending{Outcome: exit(3)}, policy(func(p *RestartPolicy) { p.SuccessCodes = []int{0, 3} }),
			Next{Result: transient.Success, Phase: Succeeded, Reason: "code 3"}},
		{"0 is no success code", Ending{Outcome: exit(0)}, policy(func(p *RestartPolicy) { p.SuccessCodes = []int{7} }),
			Next{Result: transient.ExitCode, Phase: Backoff, Attempt: 1, Delay: 5 * time.Second, Reason: "restart 1 of 3"}},
		{"never ready", Ending{Outcome: transient.Outcome{Result: transient.ExitCode, Detail: "it never said READY=1"}}, policy(nil),
			Next{Result: transient.ExitCode, Phase: Backoff, Attempt: 1, Delay: 5 * time.Second, Reason: "never said READY=1; restart 1 of 3"}},
		{"always", Ending{Outcome: exit(0), Attempt: 2}, policy(func(p *RestartPolicy) { p.OnSuccess = true }),
			Next{Result: transient.Success, Phase: Backoff, Delay: 5 * time.Second, Reason: "runs again in 5s"}},
		{"first failure", Ending{Outcome: exit(3)}, policy(nil),
			Next{Result: transient.ExitCode, Phase: Backoff, Attempt: 1, Delay: 5 * time.Second, Reason: "exited with code 3; restart 1 of 3 in 5s"}},
		{"third failure", Ending{Outcome: killed, Attempt: 2}, policy(nil),
			Next{Result: transient.Signal, Phase: Backoff, Attempt: 3, Delay: 20 * time.Second, Reason: "died by SIGKILL; restart 3 of 3 in 20s"}},
		{"gives up", Ending{Outcome: oom, Attempt: 3}, policy(nil),
			Next{Result: transient.OOMKill, Phase: Failed, Attempt: 3, Reason: "gave up after 3 restarts"}},
		{"long run clears the count", Ending{Outcome: exit(3), Attempt: 3, Lasted: 10 * time.Minute}, policy(nil),
			Next{Result: transient.ExitCode, Phase: Backoff, Attempt: 1, Delay: 5 * time.Second, Reason: "restart 1 of 3"}},
		{"no restarts", Ending{Outcome: exit(3)}, policy(func(p *RestartPolicy) { p.OnFailure = false }),
			Next{Result: transient.ExitCode, Phase: Failed, Reason: "exited with code 3"}},
		{"none allowed", Ending{Outcome: exit(3)}, policy(func(p *RestartPolicy) { p.MaxRestarts = 0 }),
			Next{Result: transient.ExitCode, Phase: Failed, Reason: "gave up after 0 restarts"}},
		{"fatal code", Ending{Outcome: exit(78)}, policy(nil),
			Next{Result: transient.ExitCode, Phase: Failed, Reason: "fatal"}},
		{"checkpoint", Ending{Outcome: exit(85), Attempt: 1, Lasted: 10 * time.Second}, policy(nil),
			Next{Result: transient.ExitCode, Phase: Queued, InPlace: true, Attempt: 1, Reason: "checkpoint"}},
		{"checkpoint of a long run", Ending{Outcome: exit(85), Attempt: 3, Lasted: 10 * time.Minute}, policy(nil),
			Next{Result: transient.ExitCode, Phase: Queued, InPlace: true, Reason: "checkpoint"}},
		{"heat after a long run", Ending{Outcome: outside, Cause: CauseHeat, Attempt: 3, Lasted: time.Hour}, policy(nil),
			Next{Result: ResultHeat, Phase: Queued, InPlace: true, Requeues: 1, Reason: "requeued (1 of 5)"}},
		{"brainjar leaves after a long run", Ending{Outcome: exit(1), Cause: CauseLeave, Attempt: 2, Lasted: time.Hour}, policy(nil),
			Next{Result: transient.Stopped, Phase: Stopped, Attempt: 2, Reason: "code 1"}},
		{"checkpoint too soon", Ending{Outcome: exit(85), Lasted: 9 * time.Second}, policy(nil),
			Next{Result: transient.ExitCode, Phase: Backoff, Attempt: 1, Delay: 5 * time.Second, Reason: "code 85; restart 1 of 3"}},
		{"stopped from outside", Ending{Outcome: outside, Attempt: 1}, policy(nil),
			Next{Result: transient.Stopped, Phase: Stopped, Attempt: 1, Reason: "not through brainjar"}},
		{"killed for memory while being stopped from outside", Ending{Outcome: transient.Outcome{Result: transient.OOMKill, ExitCode: -1, StopRequested: true}}, policy(nil),
			Next{Result: transient.Stopped, Phase: Stopped, Reason: "not through brainjar"}},
		{"asked to stop", Ending{Outcome: exit(0), Cause: CauseAsked}, policy(nil),
			Next{Result: transient.Stopped, Phase: Stopped, Reason: "code 0"}},
		{"brainjar leaves", Ending{Outcome: exit(1), Cause: CauseLeave, Attempt: 2}, policy(nil),
			Next{Result: transient.Stopped, Phase: Stopped, Attempt: 2, Reason: "code 1"}},
		{"killed at stop_timeout", Ending{Outcome: transient.Outcome{Result: transient.Stopped, ExitCode: -1, Signal: syscall.SIGKILL, KilledAtStop: true}, Cause: CauseLeave}, policy(nil),
			Next{Result: transient.Stopped, Phase: Stopped, Reason: "did not end within its stop_timeout, killed"}},
		{"heat", Ending{Outcome: outside, Cause: CauseHeat, Attempt: 1, Requeues: 4}, policy(nil),
			Next{Result: ResultHeat, Phase: Queued, InPlace: true, Attempt: 1, Requeues: 5, Reason: "requeued (5 of 5)"}},
		{"more than its gpu_memory", Ending{Outcome: outside, Cause: CauseGPUMemory}, policy(nil),
			Next{Result: ResultGPUMemory, Phase: Queued, Requeues: 1, Reason: "requeued (1 of 5)"}},
		{"heat too often", Ending{Outcome: outside, Cause: CauseHeat, Requeues: 5}, policy(nil),
			Next{Result: ResultHeat, Phase: Held, Requeues: 6, Reason: "more than 5 times"}},
		{"probe", Ending{Outcome: exit(0), Cause: CauseProbe, Why: "probe failed 3 times in a row: refused", Attempt: 1}, policy(nil),
			Next{Result: ResultProbe, Phase: Backoff, Attempt: 2, Delay: 10 * time.Second, Reason: "probe failed 3 times in a row: refused; restart 2 of 3"}},
		{"probe, once too often", Ending{Outcome: outside, Cause: CauseProbe, Why: "probe failed: refused", Attempt: 3}, policy(nil),
			Next{Result: ResultProbe, Phase: Failed, Attempt: 3, Reason: "probe failed: refused; gave up after 3 restarts"}},
		{"brainjar leaves in between", Ending{Outcome: exit(0), Cause: CauseLeave, Requeues: 4}, policy(nil),
			Next{Result: transient.Stopped, Phase: Stopped, Requeues: 4, Reason: "code 0"}},
		{"start failed", Ending{Outcome: transient.Outcome{Result: transient.StartFailed, ExitCode: -1, Detail: "no such program"}}, policy(nil),
			Next{Result: transient.StartFailed, Phase: Backoff, Attempt: 1, Delay: 5 * time.Second, Reason: "no such program; restart 1 of 3"}},
		{"timeout", Ending{Outcome: transient.Outcome{Result: transient.Timeout, ExitCode: -1, Signal: syscall.SIGTERM}}, policy(nil),
			Next{Result: transient.Timeout, Phase: Backoff, Attempt: 1, Delay: 5 * time.Second, Reason: "runtime_max"}},
		{"lost", Ending{Outcome: transient.Outcome{Result: transient.Lost, ExitCode: -1}}, policy(nil),
			Next{Result: transient.Lost, Phase: Backoff, Attempt: 1, Delay: 5 * time.Second, Reason: "nobody saw"}},
	} {
		got := Judge(test.ending, test.policy)
		if !strings.Contains(got.Reason, test.want.Reason) {
			t.Errorf("%s: reason %q, want %q in it", test.name, got.Reason, test.want.Reason)
		}
		got.Reason = test.want.Reason
		if got != test.want {
			t.Errorf("%s:\n got %+v\nwant %+v", test.name, got, test.want)
		}
	}
}
