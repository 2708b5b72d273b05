package sensors

import (
	"context"
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
		"1, Quadro P400, rev. A, [N/A], [Not Supported], 0, 1998, [Unknown Error]\n\n"
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
	for _, table := range []string{
		"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", "0, RTX\n", "x, RTX, 45, 3, 1, 2, 3\n",
		"0, RTX, hot, 3, 1, 2, 3\n", "0, RTX, -300, 3, 1, 2, 3\n", "0, RTX, 45, 101, 1, 2, 3\n", "0, RTX, NaN, 3, 1, 2, 3\n", "0, RTX, 45, 3, -1, 2, 3\n",
	} {
		if gpus, err := parseNvidiaGPUs([]byte(table)); err == nil {
			t.Errorf("%q was taken for %+v", table, gpus)
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
	for _, table := range []string{"No running processes found\n", "x, 5\n", "5\n", "5, much\n", "-5, 5\n"} {
		if memory, err := parseNvidiaApps([]byte(table)); err == nil {
			t.Errorf("%q was taken for %+v", table, memory)
		}
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
		if answer, err := fs.askNvidia(t.Context(), nvidiaGPUs); answer != nil || err != nil || fs.exists("usr/bin/nvidia-smi.was-run") {
			t.Errorf("%q: answers %q, %v", about, answer, err)
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
	if _, err := run(t.Context(), newGate(), 300*time.Millisecond, program); err == nil || !strings.Contains(err.Error(), "no answer within 300ms") {
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
	if _, err := run(ctx, newGate(), time.Minute, program); err == nil {
		t.Error("ran although nobody wants it any more")
	}
}

func FuzzNvidia(f *testing.F) {
	f.Add([]byte("0, NVIDIA GeForce RTX 4090, 45, 3, 1024, 24564, 25.43\n"))
	f.Add([]byte("3021, 512\n977, [N/A]\n"))
	f.Add([]byte("1, a, b, c, [N/A], 1e3, 0x10, inf, nan"))
	f.Fuzz(func(t *testing.T, table []byte) {
		if gpus, err := parseNvidiaGPUs(table); err == nil {
			for _, g := range gpus {
				if g.Load.V < 0 || g.Load.V > 100 || g.Temperature.V < coldest || g.Temperature.V > hottest || g.Power.V < 0 {
					t.Errorf("%q was taken for %+v", table, g)
				}
			}
		}
		if memory, err := parseNvidiaApps(table); err == nil {
			for i, c := range memory.Clients {
				if c.PID < 0 || i > 0 && c.PID <= memory.Clients[i-1].PID {
					t.Errorf("%q was taken for %+v", table, memory)
				}
			}
		}
	})
}
