package cli

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"brainjar/internal/control"
	"brainjar/internal/quantity"
)

const looking = `
[supervisor]
max_concurrent = 2
memory_budget = "1G"
[defaults]
memory_max = "64M"
autostart = false
restart = { policy = "no" }
[experiments.a]
command = ["x", "workload", "sleep=1h"]
tags = ["night", "llama"]
[experiments.b]
command = ["false"]
tags = ["night"]
[experiments.big]
command = ["x", "workload", "sleep=1h"]
memory_max = "1000M"
[experiments.m]
command = ["x", "workload", "sleep=1h"]
matrix = { n = [1, 2] }
`

func TestStatus(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, looking)
	d.run("start", "a").is(t, 0)
	d.run("start", "big", "--no-wait").is(t, 0)
	d.awaitPhase(t, "big", "queued")
	r := d.run("status")
	r.is(t, 0, "brainjar test: 1 of 2 running, 64M of 1G taken", "EXPERIMENT  PHASE", "governor ")
	lines := strings.Split(r.out, "\n")
	if len(lines) != 8 || strings.Contains(r.out, "\x1b") || strings.Contains(r.out, "GPU") {
		t.Errorf("status is\n%s", r.out)
	}
	if f := strings.Fields(lines[2]); f[0] != "a" || f[1] != "running" || f[2] != "1" || !strings.HasSuffix(f[5], "/64M") || f[6] != "0/0" {
		t.Errorf("a is %q", lines[2])
	}
	d.run("status", "big").is(t, 0, "big", "queued", "needs 1000M, 960M of 1G left")
	wide := d.run("status", "-o", "wide", "--tag", "llama")
	wide.is(t, 0, "night,llama", "brainjar-a.service", "PRIORITY")
	if strings.Contains(wide.out, "big") {
		t.Errorf("--tag shows\n%s", wide.out)
	}
	var status control.Status
	if err := json.Unmarshal([]byte(d.run("status", "m", "b", "-o", "json").out), &status); err != nil {
		t.Fatal(err)
	}
	if e := status.Experiments; len(e) != 3 || e[0].Experiment != "m.1" || e[1].Experiment != "m.2" || e[2].Experiment != "b" || status.Supervisor.Slots != 2 {
		t.Errorf("%+v", status)
	}
	d.run("status", "nobody", "a").is(t, ExitUnknown, "running", "error: no experiment nobody", "hint: ")
	d.run("status", "--tag", "none").is(t, ExitUnknown, "no experiment has the tag none")
	d.run("status", "-o", "xml").is(t, ExitUsage, `"xml"`, "table, wide or json")
	d.run("stop", "--all").is(t, 0)
}

// The picture of --watch fits the terminal, in colours that do not count.
func TestFrame(t *testing.T) {
	long := paint(red, "failed") + "  " + strings.Repeat("x", 100)
	got := string(frame([]byte("head\n"+long+"\nmore\n"), 2, 20))
	want := "\x1b[Hhead\x1b[K\r\n\x1b[31mfailed\x1b[0m  " + strings.Repeat("x", 11) + "…\x1b[K\x1b[J"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if w := width(paint(green, "éé") + "a"); w != 3 {
		t.Errorf("width %d", w)
	}
}

func TestStatusWatch(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, looking)
	c := d.start("status", "--watch", "-o", "json", "a")
	c.awaitWords(t, `"phase":"idle"`)
	d.run("start", "a").is(t, 0)
	c.awaitWords(t, `"phase":"running"`)
	table := d.start("status", "-w", "a")
	table.awaitWords(t, "running")
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil { // which both of them hear
		t.Fatal(err)
	}
	within(t.Fatalf, 10*time.Second, table).is(t, 0)
	r := within(t.Fatalf, 10*time.Second, c)
	r.is(t, 0)
	for line := range strings.Lines(r.out) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %q", line)
		}
	}
}

func TestWhy(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, looking)
	d.run("start", "b", "--no-wait").is(t, 0)
	d.run("wait", "b").is(t, ExitAwaited)
	d.run("why", "b").is(t, 0, "b has failed", "hint: ", "brainjar start b")
	d.run("why", "b", "-o", "json").is(t, 0, `"sentences": [`, `"experiment": {`)
	d.run("why", "nobody").is(t, ExitUnknown, "nobody")
	d.run("why").is(t, ExitUsage)
}

func TestEvents(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, looking)
	d.run("start", "a", "b", "--no-wait").is(t, 0)
	d.run("wait", "b").is(t, ExitAwaited)
	d.awaitPhase(t, "a", "running")
	all := d.run("events", "-n", "50")
	all.is(t, 0, "a run 1  starting -> running", "-> failed: exited with code 1")
	if n := strings.Count(d.run("events", "-n", "2").out, "\n"); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	one := d.run("events", "a", "-o", "json")
	for line := range strings.Lines(one.out) {
		var e control.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Experiment != "a" || e.ID == 0 {
			t.Errorf("%s: %v", line, err)
		}
	}
	if strings.Count(one.out, "\n") != 3 {
		t.Errorf("events of a:\n%s", one.out)
	}
	d.run("events", "nobody").is(t, ExitUnknown)
	d.run("events", "-n", "-1").is(t, ExitUsage)
	d.end()
	d.begin() // the ledger has them
	d.awaitPhase(t, "a", "running")
	if again := d.run("events", "-n", "50"); !strings.HasPrefix(again.out, all.out) {
		t.Errorf("before\n%safter\n%s", all.out, again.out)
	}
}

func TestTexts(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", 192 * time.Second: "3m12s", 125 * time.Minute: "2h05m", 52 * time.Hour: "2d4h"} {
		if got := age(d); got != want {
			t.Errorf("age(%v) is %s, want %s", d, got, want)
		}
	}
	if got := printable("a\x1b[31m\x00é\xff\tb"); got != "a\\x1b[31m\\x00é\\ufffd\tb" {
		t.Errorf("printable: %q", got)
	}
	gpu := quantity.GiB
	e := control.Experiment{GPUMemory: 2 * quantity.GiB, GPUMemoryUsed: &gpu}
	if !hasGPU([]control.Experiment{{}, e}) || hasGPU([]control.Experiment{{}}) {
		t.Error("hasGPU is wrong")
	}
}

// BenchmarkStatus is the table of 300 experiments that run.
func BenchmarkStatus(b *testing.B) {
	var numbers []string
	for i := range 300 {
		numbers = append(numbers, strconv.Itoa(i))
	}
	d := newDaemon(b, "[supervisor]\nmax_concurrent = 300\n[experiments.m]\nmemory_max = \"64M\"\ncommand = [\"x\", \"workload\", \"sleep=1h\"]\nmatrix = { n = ["+strings.Join(numbers, ", ")+"] }\n")
	d.awaitPhase(b, "m.299", "running")
	for b.Loop() {
		if r := d.run("status"); r.code != 0 || strings.Count(r.out, "running") != 301 {
			b.Fatalf("exit %d\n%s%s", r.code, r.out, r.errors)
		}
	}
}
