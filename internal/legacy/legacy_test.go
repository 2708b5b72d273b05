package legacy

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"brainjar/internal/config"
)

var update = flag.Bool("update", false, "write testdata/lab.toml")

// files makes a tree of texts; one that begins with "-> " is a link.
func files(texts map[string]string) fstest.MapFS {
	tree := make(fstest.MapFS)
	for name, text := range texts {
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			tree[name] = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
			continue
		}
		tree[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	return tree
}

// read reads a tree, and makes sure that the configuration is one.
func read(t *testing.T, texts map[string]string) (*Installation, *config.Config) {
	t.Helper()
	in, err := Read(files(texts), 0)
	if err != nil {
		t.Fatal(err)
	}
	return in, load(t, in)
}

func load(t *testing.T, in *Installation) *config.Config {
	t.Helper()
	var c *config.Config
	path := filepath.Join(t.TempDir(), "config.toml")
	err := in.Settle(func(text string) error {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		var err error
		c, err = config.Load(path)
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, in.Text())
	}
	return c
}

func notes(in *Installation) string {
	var b strings.Builder
	for _, n := range in.Notes {
		b.WriteString(n.String() + "\n")
	}
	return b.String()
}

const (
	etc   = "etc/brain-in-jar/"
	units = "etc/systemd/system/"
)

// lab is an installation as the old install script left it, after some time of use.
func lab() map[string]string {
	return map[string]string{
		etc + "coordinator.env": `# Coordinator
MAX_CONCURRENT_EXPERIMENTS=4
TOTAL_RAM_LIMIT_GB=48
HEALTH_CHECK_INTERVAL_SECONDS=30
TEMPERATURE_CHECK_INTERVAL_SECONDS=10
THROTTLE_TEMP_CELSIUS=75
CRITICAL_TEMP_CELSIUS=85
EXPERIMENT_QUEUE_PATH=/srv/lab/logs/queue.json
`,
		etc + "experiments/amnesiac_001.env":  "EXPERIMENT_RAM_LIMIT=8G\nEXPERIMENT_CPU_QUOTA=100%\nNVPMODEL_MODE=0\nMAX_TEMP_CELSIUS=80\nHF_TOKEN='a b'\n",
		etc + "experiments/isolation_001.env": "; broken\nEXPERIMENT_RAM_LIMIT=lots\nthis is no line\nEXPERIMENT_CPU_QUOTA=200%\nMODEL=\"llama\nSEED=7\nJSON='{\"id\": {id}}'\n",
		etc + "experiments/unstable_001.env":  "EXPERIMENT_RAM_LIMIT=6G\nCORRUPTION=\"0.15\"\n",
		units + "brain-experiment@.service": `[Unit]
Description=Experiment %i of the lab
PartOf=brain-experiment.target

[Service]
Type=simple
User=lab
Group=lab
WorkingDirectory=/srv/lab
Environment="PYTHONUNBUFFERED=1" "EXPERIMENT_ID=%i"
Environment=OMP_NUM_THREADS=4
EnvironmentFile=-/srv/lab/.env
EnvironmentFile=-/etc/brain-in-jar/experiments/%i.env
ExecStart=/srv/lab/venv/bin/python3 -m src.runner.experiment_runner \
    --config /srv/lab/experiments/configs/%i.json \
    # where the results go
    --db "/srv/lab/logs/all results.db"
MemoryMax=${EXPERIMENT_RAM_LIMIT:-4G}
MemorySwapMax=0
CPUQuota=${EXPERIMENT_CPU_QUOTA:-80%}
TasksMax=512
LimitNOFILE=65536
Restart=on-failure
RestartSec=5s
StartLimitInterval=300s
StartLimitBurst=3
TimeoutStopSec=30s
KillSignal=SIGTERM
Nice=5
NoNewPrivileges=true
ProtectSystem=strict
ReadWritePaths=/srv/lab/logs
ReadWritePaths=/srv/lab/experiments
DeviceAllow=/dev/nvidia0 rw
DeviceAllow=/dev/ttyUSB0 rw
SupplementaryGroups=video

[Install]
WantedBy=brain-experiment.target
`,
		units + "brain-experiment.target":                                                   "[Unit]\nDescription=All\n",
		units + "brain-experiment@unstable_001.service.d/10-slow.conf":                      "[Service]\nCPUQuota=\nTimeoutStopSec=1min 30s\nnonsense\n",
		"etc/systemd/system.control/brain-experiment@amnesiac_001.service.d/50-Memory.conf": "[Service]\nMemoryMax=9G\n",
		units + "multi-user.target.wants/brain-experiment.target":                           "-> ../brain-experiment.target",
		units + "multi-user.target.wants/brain-experiment@amnesiac_001.service":             "-> /etc/systemd/system/brain-experiment@.service",
		units + "brain-experiment.target.wants/brain-experiment@isolation_001.service":      "-> /etc/systemd/system/brain-experiment@.service",
		units + "brain-experiment.target.wants/brain-experiment@castaway.1.service":         "-> ../brain-experiment@.service",
		"etc/logrotate.d/brain-in-jar":                                                      "",
		"etc/udev/rules.d/99-brain-in-jar-gpu.rules":                                        "",
	}
}

// The whole of a lab: what is made of it is in testdata; go test ./internal/legacy -update
// writes it.
func TestLab(t *testing.T) {
	const golden = "testdata/lab.toml"
	in, c := read(t, lab())
	if *update {
		if err := os.WriteFile(golden, []byte(in.Text()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != in.Text() {
		t.Errorf("the configuration is not that of %s (%v):\n%s", golden, err, in.Text())
	}
	if in.Experiments != 4 || len(c.Experiments) != 4 || c.Template == nil || !in.Secret {
		t.Errorf("%d experiments, %d configured, template %v, secret %v", in.Experiments, len(c.Experiments), c.Template, in.Secret)
	}
	for _, want := range []string{
		"isolation_001.env:2: EXPERIMENT_RAM_LIMIT=lots is no size",
		"isolation_001.env:3: want NAME=value",
		"isolation_001.env:5: a quote \" is not closed",
		"10-slow.conf:4: cannot read \"nonsense\"",
		"brain-experiment@.service:29: Nice=5",
	} {
		if !strings.Contains(notes(in), want) {
			t.Errorf("no note says %q:\n%s", want, notes(in))
		}
	}
	e, _ := c.Experiment("isolation_001")
	if got := e.Environment["JSON"]; got != `{"id": {id}}` {
		t.Errorf("a variable is %q", got)
	}
	if e.Config != "/srv/lab/experiments/configs/isolation_001.json" || e.Command[4] != e.Config || e.Command[6] != "/srv/lab/logs/all results.db" {
		t.Errorf("the command is %q", e.Command)
	}
}

// A copy of /etc, of /etc/systemd and of a directory with units and settings says the
// same, wherever links point.
func TestCopies(t *testing.T) {
	for _, cut := range []string{"etc/", "etc/systemd/"} {
		copied := make(map[string]string)
		for name, text := range lab() {
			if rest, ok := strings.CutPrefix(name, cut); ok {
				copied[rest] = text
			} else if rest, ok := strings.CutPrefix(name, etc); ok {
				copied[rest] = text
			}
		}
		in, c := read(t, copied)
		e, found := c.Experiment("amnesiac_001")
		if !found || len(c.Experiments) != 4 || e.MemoryMax.String() != "9G" || !e.Autostart || e.CPUQuota != 100 || c.Supervisor.MaxConcurrent != 4 {
			t.Errorf("without %s: %+v\n%s", cut, e, in.Text())
		}
	}
	in, c := read(t, map[string]string{"brain-experiment@.service": lab()[units+"brain-experiment@.service"]})
	if in.Experiments != 0 || c.Template == nil || c.Template.MemoryMax.String() != "4G" || c.Template.CPUQuota != 80 {
		t.Errorf("a template alone: %+v\n%s", c.Template, in.Text())
	}
}

func TestNothing(t *testing.T) {
	for _, texts := range []map[string]string{{}, {units + "ssh.service": "[Service]\n"}, {"experiments/configs/a.json": "{}"}} {
		if in, err := Read(files(texts), 0); !errors.Is(err, ErrNothing) {
			t.Errorf("%v: %+v, %v", texts, in, err)
		}
	}
}
