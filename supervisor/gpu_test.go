package supervisor_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// specs is a service manager that keeps what it was asked to start.
type specs struct {
	*transienttest.Fake
	mu  sync.Mutex
	all map[string]transient.Spec // by experiment
}

func (s *specs) Start(ctx context.Context, spec transient.Spec) error {
	s.mu.Lock()
	s.all[spec.Experiment] = spec
	s.mu.Unlock()
	return s.Fake.Start(ctx, spec)
}

// nodes are the GPU nodes of a machine, which a test may take away.
type nodes struct {
	mu      sync.Mutex
	paths   []string
	trouble error
	asked   int
}

func (n *nodes) list(context.Context) (devices []sensors.Device, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	for _, path := range n.paths {
		devices = append(devices, sensors.Device{Path: path, Access: "rw", GID: 44})
	}
	return devices, n.trouble
}

func (n *nodes) set(trouble error, paths ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.paths, n.trouble = paths, trouble
}

// The nodes are looked up at each start, and granted beside those of devices; who did
// not ask for them gets none.
func TestGPUIsGranted(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		units := &specs{Fake: fake, all: map[string]transient.Spec{}}
		st.open = func() systemd { return units }
		gpu := &nodes{paths: []string{"/dev/nvhost-gpu", "/dev/nvmap"}}
		st.board.GPUDevices = gpu.list
		st.book = newBook()
		h := st.begin(head +
			experiment("a", "gpu = true\nrestart.policy = \"always\"\nrestart.delay = \"1m\"", "sleep=30s") +
			experiment("both", "gpu = true\nsandbox = \"strict\"\ndevices = [\"/dev/ttyUSB0 r\"]", "sleep=1h") +
			experiment("none", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Second, "a", "both", "none")
		a, both := units.all["a"], units.all["both"]
		if !slices.Equal(a.Devices, []transient.Device{{Path: "/dev/nvhost-gpu", Access: "rw"}, {Path: "/dev/nvmap", Access: "rw"}}) || !a.GPU || !slices.Contains(a.Limits.Implied, "devices") {
			st.Errorf("a got %+v, GPU %v, implied %q", a.Devices, a.GPU, a.Limits.Implied)
		}
		if len(both.Devices) != 3 || both.Devices[0].Path != "/dev/ttyUSB0" || slices.Contains(both.Limits.Implied, "devices") {
			st.Errorf("both got %+v, implied %q", both.Devices, both.Limits.Implied)
		}
		if none := units.all["none"]; len(none.Devices) != 0 || none.GPU || len(none.SupplementaryGroups) != 0 {
			st.Errorf("none got %+v", none)
		}
		for _, words := range []string{"GPU granted", "nodes=2", "devices=\"/dev/nvhost-gpu /dev/nvmap\""} {
			if n := strings.Count(h.logged(), words); n != 2 {
				st.Errorf("%q is in the log %d times", words, n)
			}
		}
		gpu.set(errors.New("cannot power the GPU on"), "/dev/nvmap", "/dev/nvidia0", "/dev/nvidiactl")
		time.Sleep(2 * time.Minute)
		if again := units.all["a"]; len(again.Devices) != 3 || again.Devices[2].Path != "/dev/nvidiactl" {
			st.Errorf("the second time a got %+v", again.Devices)
		}
		if !strings.Contains(h.logged(), "does not show all of its nodes") {
			st.Errorf("nobody was told that there may be more")
		}
		var told []string
		for _, ev := range st.book.events {
			if ev.Kind == "gpu" && ev.Experiment == "a" {
				words, _, _ := strings.Cut(ev.Reason, "; groups: ") // which differ from machine to machine
				told = append(told, words)
			}
		}
		if want := []string{"2 device nodes: /dev/nvhost-gpu /dev/nvmap", "3 device nodes: /dev/nvmap /dev/nvidia0 /dev/nvidiactl"}; !slices.Equal(told, want) {
			st.Errorf("events %q", told)
		}
		h.drain()
	})
}

// Without a GPU the start fails, as any other that is refused, and ends.
func TestGPUIsMissing(t *testing.T) {
	for _, board := range []supervisor.Board{{}, {GPUDevices: (&nodes{}).list}, {GPUDevices: (&nodes{trouble: errors.New("it is on fire")}).list}} {
		onFake(t, func(st stage, fake *transienttest.Fake) {
			st.board = board
			h := st.begin(head + experiment("a", "gpu = true\nrestart.max_restarts = 2", "sleep=1h"))
			h.awaitPhase(supervisor.Failed, time.Minute, "a")
			reason := h.status("a").Reason
			if ends := h.ends("a"); len(ends) != 3 || ends[2].Result != transient.StartFailed || !strings.Contains(reason, "cannot grant gpu = true: this machine has no GPU") {
				st.Errorf("%+v, reason %q", ends, reason)
			}
			if n := fake.Starts("brainjar-a.service"); n != 0 {
				st.Errorf("systemd was asked %d times", n)
			}
			h.drain()
		})
	}
}

func TestPreviewOfAGPU(t *testing.T) {
	st := stage{TB: t, dir: t.TempDir(), program: "/bin/true"}
	gpu := &nodes{paths: []string{"/dev/nvmap"}}
	for _, tc := range []struct {
		board supervisor.Board
		keys  string
		warns bool
	}{
		{supervisor.Board{}, "gpu = true", true},
		{supervisor.Board{GPUDevices: gpu.list}, "gpu = true", false},
		{supervisor.Board{}, "", false},
	} {
		cfg := st.parse(head + experiment("a", tc.keys) + experiment("b", ""))
		forecasts := supervisor.Preview(t.Context(), cfg, supervisor.Machine{MemTotal: 64 * quantity.GiB, Board: tc.board})
		if text := strings.Join(forecasts[0].Warnings, "\n"); strings.Contains(text, "has no GPU") != tc.warns {
			t.Errorf("%q: warnings %q", tc.keys, text)
		}
		if text := strings.Join(forecasts[1].Warnings, "\n"); strings.Contains(text, "GPU") {
			t.Errorf("b is warned: %q", text)
		}
	}
	if gpu.asked != 1 {
		t.Errorf("asked %d times", gpu.asked)
	}
}
