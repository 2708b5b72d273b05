package legacy

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"brainjar/internal/quantity"
)

// unitOf is a template with a command, and a limit, and more.
func unitOf(more string) string {
	return "[Service]\nUser=lab\nNoNewPrivileges=yes\nRestart=no\nExecStart=/bin/run %i\nMemoryMax=1G\n" + more
}

// What single lines become, and what is said of those that become nothing.
func TestDirectives(t *testing.T) {
	for _, test := range []struct {
		name string
		more string // of the template
		env  string // of the experiment a
		want string // a line of the configuration; "" where none is expected
		note string // part of a note; "" where there is none at all
	}{
		{name: "size with B", more: "MemoryMax=2GiB", want: `memory_max = "2G"`},
		{name: "bytes", more: "MemoryMax=1073741824", want: `memory_max = "1073741824"`},
		{name: "no limit", more: "MemoryMax=infinity", want: `memory_max = "4G"`, note: "MemoryMax=infinity is no size"},
		{name: "share of memory", more: "MemoryMax=50%", want: `memory_max = "4G"`, note: "MemoryMax=50% is no size"},
		{name: "too little memory", env: "EXPERIMENT_RAM_LIMIT=1M", want: `memory_max = "1G"`, note: "a.env:1: EXPERIMENT_RAM_LIMIT=1M is less than 16M"},
		{name: "emptied", more: "MemoryMax=\n", want: `memory_max = "4G"`, note: "has no memory limit"},
		{name: "the last counts", more: "MemoryMax=2G\nMemoryMax=3G", want: `memory_max = "3G"`},
		{name: "old name", more: "MemoryMax=\nMemoryLimit=3G", want: `memory_max = "3G"`},
		{name: "variable", more: "MemoryMax=${LIMIT}", env: "LIMIT=5G", want: "# etc/systemd/system/brain-experiment@.service:7 MemoryMax=${LIMIT}, as it was meant; etc/brain-in-jar/experiments/a.env:1\nmemory_max = \"5G\"", note: "expands no variables"},
		{name: "variable that is not set", more: "CPUQuota=${NO}", note: "which are not set"},
		{name: "variable of a limit", env: "EXPERIMENT_RAM_LIMIT=5G", want: `memory_max = "5G"`},
		{name: "quota without %", env: "EXPERIMENT_CPU_QUOTA=80", want: `cpu_quota = "80%"`},
		{name: "quota that is none", env: "EXPERIMENT_CPU_QUOTA=much", note: "is no percentage"},
		{name: "temperature that is none", env: "MAX_TEMP_CELSIUS=1000", note: "is no temperature"},
		{name: "swap", more: "MemorySwapMax=infinity", want: `memory_swap_max = "infinity"`},
		{name: "high above max", more: "MemoryHigh=2G", want: `# memory_high = "2G"`, note: "memory_high (2G) must not be more"},
		{name: "CPUs", more: "AllowedCPUs=0-3 6", want: `cpus = "0-3,6"`},
		{name: "tasks", more: "TasksMax=infinity", note: "is no whole number"},
		{name: "two file limits", more: "LimitNOFILE=1024:4096", want: "open_files = 1024"},
		{name: "signal by number", more: "KillSignal=2", want: `stop_signal = "SIGINT"`},
		{name: "signal that is none", more: "KillSignal=SIGNONE", note: "is no signal"},
		{name: "stop without end", more: "TimeoutStopSec=infinity", note: "is no limit at all"},
		{name: "hours", more: "RuntimeMaxSec=1w 2d", want: `runtime_max = "216h"`},
		{name: "restart that brainjar has not", more: "Restart=on-abort", want: `restart.policy = "on-failure"`, note: "comes nearest"},
		{name: "restart that nobody has", more: "Restart=sometimes", note: "no policy"},
		{name: "long delay", more: "RestartSec=10min", want: `restart.max_delay = "10m"`},
		{name: "start limit of new systemds", more: "[Unit]\nStartLimitBurst=5", want: "restart.max_restarts = 4"},
		{name: "codes", more: "SuccessExitStatus=0 3 SIGTERM", want: "restart.success_codes = [0, 3]", note: "SIGTERM in SuccessExitStatus="},
		{name: "fatal codes", more: "RestartPreventExitStatus=2 78", want: "restart.fatal_codes = [2, 78]"},
		{name: "one code for two ends", more: "SuccessExitStatus=78", want: "# restart.success_codes = [0, 78]", note: "exit code 78 is in"},
		{name: "notify", more: "Type=notify\nTimeoutStartSec=5min", want: `ready_timeout = "5m"`},
		{name: "no notify", more: "TimeoutStartSec=5min"},
		{name: "forking", more: "Type=forking", note: "has to stay in the foreground"},
		{name: "before it", more: "ExecStartPre=/bin/true", note: "an experiment has one command"},
		{name: "output", more: "StandardOutput=append:/var/log/x", note: `log = "file"`},
		{name: "unknown", more: "Frobnicate=yes", note: "service:7: Frobnicate=yes is not carried over: brainjar has nothing like it"},
		{name: "no sandbox", more: "[X]\n", want: `user = "lab"`},
		{name: "device class", more: "DeviceAllow=char-pts rw", note: "devices wants nodes"},
		{name: "board's GPU", more: "DeviceAllow=/dev/nvhost-ctrl-gpu rw", want: "gpu = true"},
		{name: "groups", more: "SupplementaryGroups=dialout", note: "put the user into these groups"},
		{name: "paths", more: "ReadWritePaths=/a -/b c", want: `writable_paths = ["/a", "/b"]`, note: "c is not carried over"},
		{name: "home", more: "WorkingDirectory=~", note: "absolute path"},
		{name: "specifier in a path", more: "WorkingDirectory=-/srv/%i", want: `working_directory = "/srv/{id}"`},
		{name: "unknown specifier", more: "Environment=A=%H%%", want: `environment.A = "%H%"`, note: "%H in Environment= is not known here"},
		{name: "placeholder that is none", env: "A={id}", want: `environment.A = "{{id}}"`},
		{name: "id in braces", more: "Environment=A={%i}", want: `environment.A = "{{a}}"`},
		{name: "a name that is none", env: "A-B=1", note: `"A-B" is not the name`},
		{name: "two lines", env: "A='1\n2'", note: "line break"},
		{name: "a name that brainjar sets", env: "EXPERIMENT_ID=b"},
		{name: "waits for another", more: "[Unit]\nAfter=brain-experiment@b.service", note: "after says"},
		{name: "a line that is none", more: "nonsense", note: `service:7: cannot read "nonsense"`},
		{name: "argument from a variable", more: "ExecStart=\nExecStart=/bin/run ${A}x $B $$C", env: "A=1\nB=2 3", want: `command = ["/bin/run", "1x", "2", "3", "$C"]`},
		{name: "argument from nowhere", more: "ExecStart=\nExecStart=/bin/run ${A}", want: `command = ["/bin/run", ""]`, note: "$A in ExecStart= of a is not set"},
		{name: "prefix", more: "ExecStart=\nExecStart=-@/bin/run name arg", want: `command = ["/bin/run", "arg"]`, note: `"-@" before the program`},
		{name: "config in one word", more: "ExecStart=\nExecStart=/bin/run --config=/x/%i.json", want: `command = ["/bin/run", "--config={config}"]`},
		{name: "two commands", more: "ExecStart=/bin/other", want: `command = ["/bin/run", "{id}"]`, note: "another ExecStart="},
		{name: "relative program", more: "ExecStart=\nExecStart=./run", note: "no absolute path"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in, err := Read(files(map[string]string{units + "brain-experiment@.service": unitOf(test.more), etc + "experiments/a.env": test.env}), 0)
			if err != nil {
				t.Fatal(err)
			}
			load(t, in)
			if !strings.Contains("\n"+in.Text(), "\n"+test.want) {
				t.Errorf("there is no line %q in:\n%s", test.want, in.Text())
			}
			if all := notes(in); !strings.Contains(all, test.note) || test.note == "" && all != "" {
				t.Errorf("notes are %q, want %q", all, test.note)
			}
		})
	}
}

// What the coordinator's settings become.
func TestCoordinator(t *testing.T) {
	for text, want := range map[string]struct{ line, note string }{
		"MAX_CONCURRENT_EXPERIMENTS=0":                      {"", "is no whole number from 1"},
		"MAX_CONCURRENT_EXPERIMENTS=2\nnonsense":            {"max_concurrent = 2", "coordinator.env:2: want NAME=value"},
		"TOTAL_RAM_LIMIT_GB=1.5":                            {`memory_budget = "1.5G"`, ""},
		"TOTAL_RAM_LIMIT_GB=0.5":                            {"", "a alone may take 1G"},
		"THROTTLE_TEMP_CELSIUS=60":                          {"resume = 55.0", ""},
		"THROTTLE_TEMP_CELSIUS=90":                          {"", "has to begin below"},
		"CRITICAL_TEMP_CELSIUS=70":                          {"", "has to begin below"},
		"CRITICAL_TEMP_CELSIUS=95\nTHROTTLE_TEMP_CELSIUS=2": {"critical = 95.0", "no machine is so cool"},
		"TEMPERATURE_CHECK_INTERVAL_SECONDS=0":              {"", "is no number of seconds"},
		"TEMPERATURE_CHECK_INTERVAL_SECONDS=5":              {`interval = "5s"`, ""},
		"TEMPERATURE_CHECK_INTERVAL_SECONDS=60":             {`interval = "1m"`, "=60) is longer than memory.grace (5s)"},
	} {
		in, _ := read(t, map[string]string{units + "brain-experiment@.service": unitOf(""), etc + "experiments/a.env": "", etc + "coordinator.env": text})
		if all := notes(in); !strings.Contains("\n"+in.Text(), "\n"+want.line) || !strings.Contains(all, want.note) || want.note == "" && all != "" {
			t.Errorf("%s: want a line %q and a note %q:\n%s", text, want.line, want.note, in.Text())
		}
	}
	in, c := read(t, map[string]string{units + "brain-coordinator.service": "[Service]\nEnvironment=MAX_CONCURRENT_EXPERIMENTS=3\n"})
	if c.Supervisor.MaxConcurrent != 3 || in.Experiments != 0 {
		t.Errorf("a coordinator alone: %s", in.Text())
	}
}

// What only the coordinator read and nobody knows is told, with what was probably meant,
// but not what it was set to; what experiments read too is in the configuration.
func TestUnknownVariables(t *testing.T) {
	in, c := read(t, map[string]string{
		units + "brain-experiment@.service":            unitOf("EnvironmentFile=/srv/lab/.env"),
		units + "brain-experiment-coordinator.service": "[Service]\nEnvironment=PYTHONUNBUFFERED=1 THREADS=4\nEnvironmentFile=/srv/lab/.env\n",
		"srv/lab/.env":            "SHARED=1\nMAX_TEMP_CELSIUS=70\n",
		etc + "experiments/a.env": "",
		etc + "coordinator.env":   "NVPMODEL_MODE=2\nLOG_LEVEL=hunter2\nMAX_CONCURENT_EXPERIMENTS=2\nEXPERIMENT_CPU_QUOTA=much\n",
	})
	want := etc + `coordinator.env:4: EXPERIMENT_CPU_QUOTA is not carried over: it is a variable of experiments, and none of them read it here
` + etc + `coordinator.env:2: LOG_LEVEL is not carried over: import knows no variable of the coordinator with this name
` + etc + `coordinator.env:3: MAX_CONCURENT_EXPERIMENTS is not carried over: import knows no variable of the coordinator with this name; did you mean MAX_CONCURRENT_EXPERIMENTS?
` + etc + `coordinator.env:1: NVPMODEL_MODE is not carried over: it is a variable of experiments, and none of them read it here; power_mode = "2" in [defaults] would give it to all of them, in [experiments.ID] to one
` + units + `brain-experiment-coordinator.service:2: THREADS is not carried over: import knows no variable of the coordinator with this name
`
	if got := notes(in); got != want {
		t.Errorf("notes are\n%s, want\n%s", got, want)
	}
	for _, note := range strings.Split(strings.TrimSpace(want), "\n") {
		if !strings.Contains(in.Text(), "\n# - "+note+"\n") {
			t.Errorf("the configuration does not say %q:\n%s", note, in.Text())
		}
	}
	if a, _ := c.Experiment("a"); a.MaxTemperature != 70 || a.PowerMode != "" {
		t.Errorf("the experiment is %+v", a)
	}
}

// A memory limit that no experiment could be started with is what the machine can give,
// with what it was beside it.
func TestMoreThanTheMachine(t *testing.T) {
	for memTotal, want := range map[quantity.Bytes]struct{ a, b string }{
		0: {"900G", "1G"}, quantity.GiB: {"768M", "768M"}, 5 * quantity.GiB / 2: {"1920M", "1G"}, 16*quantity.GiB - 1: {"13G", "1G"},
	} {
		in, err := Read(files(map[string]string{
			units + "brain-experiment@.service": unitOf("MemoryMax=${EXPERIMENT_RAM_LIMIT:-1G}"),
			etc + "experiments/a.env":           "EXPERIMENT_RAM_LIMIT=900G", etc + "experiments/b.env": "",
		}), memTotal)
		if err != nil {
			t.Fatal(err)
		}
		c := load(t, in)
		a, _ := c.Experiment("a")
		b, _ := c.Experiment("b")
		size := func(text string) quantity.Bytes {
			n, err := quantity.ParseBytes(text)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		lowered := want.a != "900G"
		if a.MemoryMax != size(want.a) || b.MemoryMax != size(want.b) || lowered && len(c.Fit(memTotal, false)) > 0 {
			t.Errorf("of %v, a has %v and b %v, want %+v", memTotal, a.MemoryMax, b.MemoryMax, want)
		}
		if lowered != strings.Contains(in.Text(), "a.env:1 EXPERIMENT_RAM_LIMIT=900G) is more than the ") || lowered != strings.Contains(notes(in), "it is "+want.a+" now") {
			t.Errorf("of %v: it is told wrongly:\n%s", memTotal, in.Text())
		}
	}
}

// Instances that are odd: each is named, none holds up the others.
func TestInstances(t *testing.T) {
	in, c := read(t, map[string]string{
		units + "brain-experiment@.service":                                unitOf("CPUQuota=50%"),
		units + "brain-experiment@own.service":                             "[Service]\nUser=other\nExecStart=/bin/own\nMemoryMax=2G\n",
		units + "brain-experiment@masked.service":                          "-> /dev/null",
		units + "brain-experiment@far.service":                             "-> /srv/elsewhere/far.service",
		units + "brain-experiment@round.service":                           "-> brain-experiment@round.service",
		units + "multi-user.target.wants/brain-experiment@masked.service":  "-> ../brain-experiment@.service",
		units + "brain-experiment.target.wants/brain-experiment@b.service": "-> ../brain-experiment@.service",
		etc + `experiments/a\x2db c.env`:                                   "",
		etc + "experiments/a-b_c.env":                                      "",
	})
	for id, want := range map[string]string{"own": "/bin/own", "a-b_c": "/bin/run", "b": "/bin/run"} {
		e, found := c.Experiment(id)
		if !found || e.Command[0] != want {
			t.Errorf("%s is not there, or has another command:\n%s", id, in.Text())
		}
	}
	if own, _ := c.Experiment("own"); own.CPUQuota != 0 || own.User != "other" || own.Autostart {
		t.Errorf("a unit of its own takes from the template: %+v", own)
	}
	for _, want := range []string{"masked.service: is masked", "far.service: cannot be read", "round.service: cannot be read: ", "too many links",
		"brain-experiment@far: is left out", "another experiment has the id a-b_c", "brain-experiment.target: was not enabled itself"} {
		if !strings.Contains(notes(in), want) {
			t.Errorf("no note says %q:\n%s", want, notes(in))
		}
	}
}

// What is no file, or too large a one, is not read.
func TestOddFiles(t *testing.T) {
	tree := files(map[string]string{units + "brain-experiment@.service": unitOf(""), etc + "experiments/large.env": strings.Repeat("#", maxFile+1)})
	tree[etc+"experiments/pipe.env"] = &fstest.MapFile{Mode: fs.ModeNamedPipe | 0o600}
	in, err := Read(tree, 0)
	if err != nil {
		t.Fatal(err)
	}
	load(t, in)
	for _, want := range []string{"large.env: cannot be read: ", "is larger than", "pipe.env: cannot be read: ", "is not a regular file"} {
		if !strings.Contains(notes(in), want) {
			t.Errorf("no note says %q:\n%s", want, notes(in))
		}
	}
}

// Whatever the files hold, the configuration is one that brainjar takes.
func FuzzRead(f *testing.F) {
	all := lab()
	f.Add(all[units+"brain-experiment@.service"], all[etc+"experiments/isolation_001.env"], all[etc+"coordinator.env"], "a")
	f.Add("[Service]\nExecStart=\"/x\\\n%i ${A:-{}\nMemoryMax=${A:-$}\nDeviceAllow=/dev/../x rwmr\nUser=-", "A='\x00\\", "TOTAL_RAM_LIMIT_GB=1e9", `\x2f`)
	f.Fuzz(func(t *testing.T, unit, env, coordinator, instance string) {
		texts := map[string]string{units + "brain-experiment@.service": unit, etc + "coordinator.env": coordinator}
		if name := etc + "experiments/" + instance + ".env"; fs.ValidPath(name) {
			texts[name] = env
		}
		read(t, texts)
	})
}

func TestSplitWords(t *testing.T) {
	for text, want := range map[string]string{
		`a  b`: "a|b", `"a b" c'd e'`: "a b|cd e", `a\ b "\"" \n`: "a b|\"|\n", `"" x`: "|x", `  `: "",
	} {
		got, err := splitWords(text)
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if got, err := splitWords(`a "b`); err == nil {
		t.Errorf("an open quote gives %q", got)
	}
}

// A configuration that holds a password is known for one, however it came into it.
func TestSecretIsKnown(t *testing.T) {
	for _, test := range []struct {
		name, more, env string
		secret, told    bool // told: the configuration holds it
	}{
		{name: "none"},
		{name: "a variable", env: "HF_TOKEN=hunter2", secret: true, told: true},
		{name: "in the command", more: "ExecStart=\nExecStart=/bin/run ${PASSWORD}", env: "PASSWORD=hunter2", secret: true, told: true},
		{name: "a line that lost its continuation", more: "API_KEY=hunter2", secret: true, told: true},
		{name: "a quote that is not closed", more: "Environment=\"API=hunter2"},
		{name: "blanks without quotes", more: "Environment=API=1 hunter2"},
	} {
		in, err := Read(fstest.MapFS{
			units + templateUnit:      &fstest.MapFile{Data: []byte(unitOf(test.more))},
			etc + "experiments/a.env": &fstest.MapFile{Data: []byte(test.env)},
		}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if told := strings.Contains(in.Text()+notes(in), "hunter2"); in.Secret != test.secret || told != test.told {
			t.Errorf("%s: secret %v, told %v:\n%s%s", test.name, in.Secret, told, in.Text(), notes(in))
		}
	}
}
