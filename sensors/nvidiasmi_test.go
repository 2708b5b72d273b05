package sensors

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"brainjar/internal/quantity"
	"brainjar/sensors/sensorstest"
)

func TestParseNvidiaGPUs(t *testing.T) {
	table := "0, NVIDIA GeForce RTX 4090, 45, 3, 1024, 24564, 25.43\n" +
		"1, Quadro P400, rev. A, [N/A], [Not Supported], 0, 1998, N/A\n\n"
	gpus, err := parseNvidiaGPUs([]byte(table))
	if err != nil || len(gpus) != 2 {
		t.Fatalf("got %+v, %v", gpus, err)
	}
	first, second := gpus[0], gpus[1]
	if first.Name != "NVIDIA GeForce RTX 4090" || first.Path != "nvidia0" || first.Temperature != known[quantity.Celsius](45) ||
		first.Load != known[quantity.Percent](3) || first.MemoryUsed != known(quantity.GiB) || first.Power != known[quantity.Milliwatts](25430) {
		t.Errorf("got %+v", first)
	}
	if second.Name != "Quadro P400, rev. A" || second.Path != "nvidia1" || second.Temperature.State != Absent || second.Load.State != Absent ||
		second.MemoryUsed != known[quantity.Bytes](0) || second.MemoryTotal != known(1998*quantity.MiB) || second.Power.State != Absent {
		t.Errorf("got %+v", second)
	}
}

// A field, a row or a card that is ill is Failed and told; the rest is used.
func TestParseNvidiaGPUsInPart(t *testing.T) {
	const sound = "7, RTX, 45, 3, 1, 2, 3\n"
	for table, want := range map[string]string{ // states of temperature, load and memory
		"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n": "", "x, RTX, 45, 3, 1, 2, 3\n": "", "\x00\n": "", "3\n": "",
		"0, RTX\n": "failed failed failed", "0, [GPU is lost]\n": "failed failed failed", "0, RTX, ERR!, 3, 1, 2, 3\n": "failed ok ok",
		"0, RTX, -300, 3, 1, 2, 3\n": "failed ok ok", "0, RTX, 45, 101, 1, 2, 3\n": "ok failed ok", "0, RTX, NaN, 3, 1, 2, 3\n": "failed ok ok",
		"0, RTX, 45, 3, -1, 2, 3\n": "ok ok failed", "0, RTX, 45, [N/A], [Unknown Error], 2, 3\n": "ok absent failed", "0, RTX, , 3, 1, 2, 3\n": "failed ok ok",
	} {
		for _, table := range []string{table + sound, sound + table} {
			cards, err := parseNvidiaGPUs([]byte(table))
			got := ""
			for _, c := range cards {
				if c.index != 7 {
					got = c.Temperature.State.String() + " " + c.Load.State.String() + " " + c.MemoryUsed.State.String()
				} else if c.Load != known[quantity.Percent](3) || c.err != nil {
					t.Errorf("%q: the sound one is %+v, %v", table, c.GPU, c.err)
				}
			}
			if got != want || err == nil || len(cards) != 1+min(1, len(want)) {
				t.Errorf("%q: got %q, want %q; %v", table, got, want, err)
			}
		}
	}
}

func TestParseNvidiaApps(t *testing.T) {
	memory, err := parseNvidiaApps([]byte("3021, 512\n977, 100\n3021, 256\n"))
	if err != nil || memory.Used != known(868*quantity.MiB) || len(memory.Clients) != 2 || memory.Clients[1].Used != known(768*quantity.MiB) {
		t.Errorf("got %+v, %v", memory, err)
	}
	if memory, err := parseNvidiaApps(nil); err != nil || memory.State != OK || memory.Used != known[quantity.Bytes](0) {
		t.Errorf("nobody computes: %+v, %v", memory, err)
	}
	for table, want := range map[string]int{"No running processes found\n": 1, "x, 5\n": 1, "5\n": 1, "-5, 5\n": 1, "5, much\n": 2, "5, -7\n": 2} {
		memory, err := parseNvidiaApps([]byte("977, 100\n" + table))
		if err == nil || len(memory.Clients) != want || memory.Clients[want-1] != (GPUClient{PID: 977, Used: known(100 * quantity.MiB)}) || want == 2 && memory.Clients[0].Used.State != Failed {
			t.Errorf("%q was taken for %+v, %v", table, memory, err)
		}
	}
}

// smi makes a machine whose nvidia-smi does so for cards and so for processes.
func smi(t *testing.T, cards, processes string) FS {
	t.Helper()
	return FS(sensorstest.Tree(t, "[proc/driver/nvidia]\nversion = 550\n[usr/bin]\nnvidia-smi = <<\n#!/bin/sh\ncase $1 in\n--query-gpu=*) "+cards+" ;;\n*) "+processes+" ;;\nesac\n>>\n"))
}

// An nvidia-smi that fails for one card, and says so anywhere, tells of the others.
func TestNvidiaSMIThatFailsInPart(t *testing.T) {
	fs := smi(t, `echo 'Unable to determine the device handle for GPU 0000:01:00.0: Unknown Error'; echo '1, RTX, 45, 3, 1, 2, 3'; exit 15`, `echo '977, 100'; echo broken >&2; exit 15`)
	r := once(t, &Sampler{FS: fs})
	if len(r.GPUs) != 1 || r.GPUs[0].Load != known[quantity.Percent](3) || len(r.Zones) != 1 || r.Zones[0].Temperature != 45 {
		t.Errorf("got %+v, %+v", r.GPUs, r.Zones)
	}
	if m := r.GPUMemory; m.State != OK || len(m.Clients) != 1 || m.Used.State != Failed {
		t.Errorf("memory is %+v", m)
	}
	if got := sources(r); got != "cpu memory nvidia nvidia processes" || !strings.Contains(r.Problems[2].Err.Error(), "exit status 15") ||
		!strings.Contains(r.Problems[2].Err.Error(), "Unable to determine") || !strings.HasSuffix(r.Problems[3].Err.Error(), "exit status 15: broken") {
		t.Errorf("problems of %q: %v", got, r.Problems)
	}
}

// What nvidia-smi and libraries below it complain about beside the table is no row of
// it. That no process computes is known.
func TestNvidiaSMIThatComplains(t *testing.T) {
	fs := smi(t, `echo 'WARNING: infoROM is corrupted at gpu 0000:01:00.0' >&2; echo '0, RTX, 45, 3, 1, 2, 3'`, `echo 'libfoo: 5, 6' >&2`)
	r := once(t, &Sampler{FS: fs})
	if got := sources(r); got != "cpu memory" || len(r.GPUs) != 1 || r.GPUMemory.State != OK || r.GPUMemory.Used != known[quantity.Bytes](0) {
		t.Errorf("problems of %q: %v; got %+v, %+v", got, r.Problems, r.GPUs, r.GPUMemory)
	}
}

// A card that is lost stays, as failed, until nvidia-smi is well without it.
func TestNvidiaCardThatIsLost(t *testing.T) {
	lost := errors.New("GPU is lost")
	known, err := parseNvidiaGPUs([]byte("0, A, 45, 3, 1, 2, 3\n10, C, 45, 3, 1, 2, 3\n2, B, 45, 3, 1, 2, 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	now, err := parseNvidiaGPUs([]byte("0, A, 46, 3, 1, 2, 3\n10, C, 45, 3, 1, 2, 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	cards := keepCards(known, now, lost)
	if len(cards) != 3 || cards[0].Temperature.V != 46 || cards[1].Name != "B" || cards[1].Temperature.State != Failed || !errors.Is(cards[1].err, lost) || cards[2].Load.State != OK {
		t.Errorf("got %+v", cards)
	}
	if cards := keepCards(cards, now, nil); len(cards) != 2 {
		t.Errorf("got %+v", cards)
	}
}

// A card whose driver is too slow for a round is told as it was, for a while; then
// as failed, and never as cold.
func TestNvidiaSMIThatHangs(t *testing.T) {
	fs := FS(sensorstest.Board(t, "x86-desktop"))
	ctx, cancel := context.WithCancel(t.Context())
	defer func() {
		cancel()
		if err := nvidiaCards.do(t.Context(), func() {}); err != nil { // it is killed before the test ends
			t.Error(err)
		}
	}()
	sources := nvidiaSources(ctx, fs)
	for _, s := range sources {
		s.every = 0
	}
	sampling := &sampling{last: sources, answers: make(chan answer), timeout: 30 * time.Second, log: slog.New(slog.DiscardHandler)}
	round := func() Reading {
		r, ok := sampling.round(t.Context())
		if !ok || len(r.GPUs) != 1 || len(r.Zones) != 1 {
			t.Fatalf("got %v with %+v, %+v", ok, r.GPUs, r.Zones)
		}
		return r
	}
	if r := round(); r.Zones[0].Temperature != 45 || r.GPUMemory.State != OK || len(r.Problems) != 0 {
		t.Errorf("got %+v, problems %v", r.Zones[0], r.Problems)
	}
	smi := fs.path("usr/bin/nvidia-smi")
	if err := os.WriteFile(smi, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if r := round(); r.Zones[0].Temperature != 45 || len(r.Problems) != 0 || time.Since(start) > 5*time.Second {
		t.Errorf("after %v got %+v, problems %v", time.Since(start), r.Zones[0], r.Problems)
	}
	for _, s := range sources {
		s.asked = s.asked.Add(-nvidiaKeep) // as if it had been so long
	}
	if r := round(); r.Zones[0].State != Failed || r.Zones[0].Temperature != 0 || r.GPUs[0].Load.State != Failed || r.GPUMemory.State != Failed || len(r.Problems) != 2 {
		t.Errorf("got %+v, %+v, problems %v", r.Zones[0], r.GPUs[0], r.Problems)
	}
}

// An nvidia-smi that has not answered yet failed: it is not absent.
func TestNvidiaSMIThatIsSlowAtFirst(t *testing.T) {
	s := &Sampler{FS: smi(t, "exec sleep 1000", "exec sleep 1000"), SourceTimeout: 200 * time.Millisecond}
	r, err := s.Once(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := sources(r); got != "cpu memory nvidia nvidia processes" || !strings.Contains(r.Problems[2].Err.Error(), "cannot read nvidia: no answer for ") || r.GPUMemory.State != Failed || !r.EverHadZone {
		t.Errorf("problems of %q: %v, memory %+v", got, r.Problems, r.GPUMemory)
	}
	if err := nvidiaCards.do(t.Context(), func() {}); err != nil { // it is killed before the test ends
		t.Error(err)
	}
}

// What goes wrong with nvidia-smi is told with what it said.
func TestNvidiaSMIThatFails(t *testing.T) {
	fs := FS(sensorstest.Tree(t, "[proc/driver/nvidia]\nversion = 550\n[usr/bin]\nnvidia-smi = <<\n#!/bin/sh\necho Unable to determine the device handle\nexit 15\n>>\n"))
	r := once(t, &Sampler{FS: fs})
	if got := sources(r); got != "cpu memory nvidia nvidia processes" || !strings.Contains(r.Problems[2].Err.Error(), "exit status 15: Unable to determine") {
		t.Errorf("problems of %q: %v", got, r.Problems)
	}
	if r.GPUMemory.State != Failed {
		t.Errorf("memory is %+v", r.GPUMemory)
	}
}

// On a Jetson nvidia-smi is a stub and not run; nor is it where no driver is loaded.
func TestNvidiaSMIIsNotRun(t *testing.T) {
	for _, about := range []string{"[proc/driver/nvidia]\nversion = 540\n[proc/device-tree]\ncompatible = nvidia,tegra234\\0\n", ""} {
		fs := FS(sensorstest.Tree(t, about+"[usr/bin]\nnvidia-smi = <<\n#!/bin/sh\ntouch $0.was-run\n>>\n"))
		if cards, err := askNvidia(t.Context(), fs, nvidiaGPUs, parseNvidiaGPUs); cards != nil || err != nil || fs.exists("usr/bin/nvidia-smi.was-run") {
			t.Errorf("%q: got %v, %v", about, cards, err)
		}
	}
}

// A program that writes for ever is cut short and killed in time.
func TestProgramThatFloods(t *testing.T) {
	fs := FS(sensorstest.Tree(t, "[usr/bin]\nflood = <<\n#!/bin/sh\nexec yes\n>>\n"))
	program, err := fs.program("flood")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(t.Context(), newGate(), 300*time.Millisecond, program); err == nil || !strings.Contains(err.Error(), "no answer within 300ms") {
		t.Errorf("got %v", err)
	}
	var kept capped
	for range 3 {
		if n, err := kept.Write(make([]byte, mostOutput)); n != mostOutput || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}
	if kept.Len() != mostOutput {
		t.Errorf("kept %d bytes", kept.Len())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := run(ctx, newGate(), time.Minute, program); err == nil {
		t.Error("ran although nobody wants it any more")
	}
}

func FuzzNvidia(f *testing.F) {
	f.Add([]byte("0, NVIDIA GeForce RTX 4090, 45, 3, 1024, 24564, 25.43\n"))
	f.Add([]byte("3021, 512\n977, [N/A]\n"))
	f.Add([]byte("1, a, b, c, [N/A], 1e3, 0x10, inf, nan"))
	f.Fuzz(func(t *testing.T, table []byte) {
		cards, _ := parseNvidiaGPUs(table)
		for _, c := range cards {
			if c.Load.V < 0 || c.Load.V > 100 || c.Temperature.V < coldest || c.Temperature.V > hottest || c.Power.V < 0 || c.Temperature.State == Failed && c.err == nil {
				t.Errorf("%q was taken for %+v", table, c)
			}
		}
		memory, _ := parseNvidiaApps(table)
		for i, c := range memory.Clients {
			if c.PID < 0 || i > 0 && c.PID <= memory.Clients[i-1].PID {
				t.Errorf("%q was taken for %+v", table, memory)
			}
		}
	})
}
