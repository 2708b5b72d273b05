package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"brainjar/internal/control"
	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/sensors/sensorstest"
)

// Every board shows as its file in testdata/sensors says: go test ./internal/cli -run
// SensorsOfBoards -update writes them.
func TestSensorsOfBoards(t *testing.T) {
	names, err := sensorstest.Boards()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := sensorstest.Board(t, name)
			var got, stderr bytes.Buffer
			if code := Main([]string{"sensors", "--sysroot", root}, &got, &stderr); code != ExitOK || stderr.Len() > 0 {
				t.Fatalf("exit %d: %s", code, stderr.String())
			}
			text := strings.ReplaceAll(got.String(), root, "")
			file := filepath.Join("testdata", "sensors", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("shows\n%s\nwant\n%s", text, want)
			}
		})
	}
}

// An nvidia-smi that does not answer in time failed, and what it would tell is not said
// to be absent.
func TestSensorsOfSlowNvidiaSMI(t *testing.T) {
	root := sensorstest.Tree(t, "[proc/driver/nvidia]\nversion = 550\n[usr/bin]\nnvidia-smi = <<\n#!/bin/sh\nexec sleep 1000\n>>\n")
	var got, stderr bytes.Buffer
	if code := Main([]string{"sensors", "--sysroot", root}, &got, &stderr); code != ExitOK || stderr.Len() > 0 {
		t.Fatalf("exit %d: %s", code, stderr.String())
	}
	lacks, failed, _ := strings.Cut(got.String(), "FAILED")
	if !strings.Contains(failed, "nvidia: cannot read nvidia: no answer for ") || !strings.Contains(lacks, "GPU memory  failed") {
		t.Errorf("shows\n%s", got.String())
	}
	for _, absent := range []string{"thermal zones", "GPUs", "memory of GPUs"} {
		if strings.Contains(lacks, "\n"+absent+" ") {
			t.Errorf("%s are said to be absent:\n%s", absent, got.String())
		}
	}
}

// A running brainjar is asked, and what it says is shown and written as it was; without
// one the command reads by itself, and says so.
func TestSensorsOfBrainjar(t *testing.T) {
	hasten(t, time.Minute)
	d := prepareDaemon(t.TempDir(), looking, t.Fatalf)
	began := time.Now()
	m := machine{fs: sensors.FS(sensorstest.Board(t, "orin-nano-jp6"))}
	d.feels = m.get
	t.Cleanup(d.end)
	d.begin()
	d.run("sensors").is(t, ExitUnreachable, "hint: ")
	r, err := (&sensors.Sampler{FS: m.fs, SourceTimeout: time.Minute}).Once(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.GPUMemory = sensors.GPUMemory{State: sensors.OK, Clients: []sensors.GPUClient{{PID: os.Getpid(), Process: "evil\x1b[2J"}}}
	m.keep(r)
	r.At = r.At.Add(2 * time.Second)
	r.OverCurrent = []sensors.OverCurrent{{Name: "oc1", Events: sensors.Value[int64]{State: sensors.OK, V: 9}, Recent: sensors.Value[int64]{State: sensors.OK, V: 5}}}
	r.Problems = append(r.Problems, sensors.Problem{Source: "nvmap", Err: errors.New("no answer"), Since: began})
	m.keep(r)
	shown := d.run("sensors")
	shown.is(t, ExitOK, "Orin Nano", "oc1", "2.5/s", `evil\x1b[2J`, "nvmap: no answer")
	if strings.Contains(shown.out, "\x1b") || shown.errors != "" {
		t.Errorf("%q %q", shown.out, shown.errors)
	}
	var there control.Sensors
	if err := json.Unmarshal([]byte(d.run("sensors", "-o", "json").out), &there); err != nil {
		t.Fatal(err)
	}
	if here, err := m.get(t.Context(), []string{"*"}); err != nil || same(t, here) != same(t, there) {
		t.Errorf("%v: in JSON\n%s\nwant\n%s", err, same(t, there), same(t, here))
	}
	c := d.start("sensors", "--watch", "-o", "json")
	c.awaitWords(t, `"interval_seconds":2`)
	table := d.start("sensors", "-w")
	table.awaitWords(t, "2.5/s")
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil { // which both of them hear
		t.Fatal(err)
	}
	within(t.Fatalf, 10*time.Second, table).is(t, 0)
	within(t.Fatalf, 10*time.Second, c).is(t, 0)
	local := d.run("sensors", "--local", "-o", "json")
	local.is(t, ExitOK, `"memory"`)
	if strings.Contains(local.out, "orin") || local.errors != "" {
		t.Errorf("%s%s", local.out, local.errors)
	}
	d.end()
	d.run("sensors").is(t, ExitOK, "brainjar does not run", "MACHINE")
}

// same is what was told as JSON.
func same(t *testing.T, s control.Sensors) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A brainjar that may not be asked is no reason to read oneself: what it would say
// counts. Neither is one that is silent.
func TestSensorsAreNotReadInstead(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.ECONNREFUSED: true, syscall.ENOENT: true, syscall.EACCES: false, context.DeadlineExceeded: false, nil: false,
	} {
		if got := absent(errors.Join(control.ErrUnreachable, err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// On a terminal bars and courses are drawn, of one width.
func TestSensorsCourse(t *testing.T) {
	p := picture{colour: true, course: make(map[string][]float64)}
	now := control.Sensors{ThermalZones: []string{"tj"}}
	zone := sensors.Zone{Name: "tj", State: sensors.OK, Trips: []sensors.Trip{{Type: "critical", Temperature: 120}, {Type: "passive", Temperature: 100}}}
	var lines [2]string
	for i, celsius := range []float64{20, 120} {
		zone.Temperature = quantity.Celsius(celsius)
		now.Zones = []sensors.Zone{zone}
		row := p.zones(now)[1]
		lines[i] = row[2]
		if width(row[2]) != barWidth+1+courseLength || row[3] != "yes" {
			t.Errorf("%q", row)
		}
		if hot := strings.HasPrefix(row[1], "\x1b[31m"); hot != (celsius > 100) {
			t.Errorf("%q", row)
		}
	}
	if !strings.HasPrefix(lines[0], "░░░░░░░░ ") || !strings.HasSuffix(lines[0], " ▁") || !strings.HasPrefix(lines[1], "████████ ") || !strings.HasSuffix(lines[1], " ▁█") {
		t.Errorf("%q", lines)
	}
	for range 2 * courseLength {
		p.zones(now)
	}
	if n := len(p.course["zone tj"]); n != courseLength {
		t.Errorf("%d values are kept", n)
	}
}

func TestNumbers(t *testing.T) {
	for want, list := range map[string][]int{"": nil, "5": {5}, "0-3,8": {0, 1, 2, 3, 8}, "1,3,5-6": {1, 3, 5, 6}} {
		if got := numbers(list); got != want {
			t.Errorf("%v: %q, want %q", list, got, want)
		}
	}
}

// Who goes away while the board is asked spoils the answer for nobody else.
func TestSettingsOfWhoLeft(t *testing.T) {
	b := newModeBoard(t)
	tree := filepath.Join(b.dir, "proc/device-tree")
	b.must(os.MkdirAll(tree, 0o700))
	b.must(os.WriteFile(filepath.Join(tree, "compatible"), []byte("nvidia,tegra234\x00"), 0o600))
	m := machine{fs: sensors.FS(b.dir)}
	m.keep(sensors.Reading{At: time.Now()})
	gone, leave := context.WithCancel(t.Context())
	leave()
	if s, err := m.get(gone, nil); err != nil || s.PowerMode.State != sensors.Failed {
		t.Errorf("asked for nobody: %+v, %v", s.PowerMode, err)
	}
	if s, err := m.get(t.Context(), nil); err != nil || s.PowerMode.V.Name != "15W" || len(s.Problems) > 0 {
		t.Errorf("asked once more: %+v, %v, %v", s.PowerMode, s.Problems, err)
	}
}
