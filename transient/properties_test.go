package transient

import (
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	sddbus "github.com/coreos/go-systemd/v22/dbus"

	"brainjar/internal/quantity"
)

var recorder = []string{"/usr/bin/brainjar", "record", "/run/brainjar/runs"}

// fullSpec asks for everything that a service can have.
func fullSpec() Spec {
	var noSwap quantity.Bytes
	return Spec{
		Experiment: "amnesiac_001", Run: 7, Attempt: 2, LastResult: "exit-code",
		Kind: Service, Description: "no memory", Command: []string{"/usr/bin/python3", "-m", "$HOME"},
		Environment:      []string{"HF_HOME=/models", "MODE=a"},
		EnvironmentFiles: []string{"/etc/lab/common", "-/etc/lab/local"},
		User:             "lab", Group: "lab", SupplementaryGroups: []string{"video"},
		WorkingDirectory: "/srv/lab",
		Limits: Limits{
			MemoryMax: 8 * quantity.GiB, MemoryHigh: 7 * quantity.GiB, MemorySwapMax: &noSwap,
			CPUQuota: 12.5, CPUWeight: 50, CPUs: []int{0, 3, 9}, IOWeight: 20, TasksMax: 512,
			Implied: []string{"memory_swap_max", "memory_high", "cpus", "io_weight", "cpu_weight", "cpu_quota", "devices"},
		},
		OpenFiles: 65536, Devices: []Device{{"/dev/nvmap", "rw"}, {"/dev/ttyUSB0", "r"}}, GPU: true,
		Ready: ReadyNotify, ReadyTimeout: time.Minute, RuntimeMax: time.Hour, Watchdog: time.Second,
		StopSignal: syscall.SIGINT, StopTimeout: 30 * time.Second,
		Sandbox: SandboxStrict, WritablePaths: []string{"/srv/out"},
		LogRate: LogRate{Burst: 100, Interval: 30 * time.Second},
	}
}

func names(props []sddbus.Property) []string {
	var all []string
	for _, p := range props {
		all = append(all, p.Name)
	}
	return all
}

// value returns the last value of a property; nil if there is none.
func sent(props []sddbus.Property, name string) any {
	for _, p := range slices.Backward(props) {
		if p.Name == name {
			return p.Value.Value()
		}
	}
	return nil
}

// Exactly these properties are sent, by host: no test machine has the systemd
// of JetPack 5 and 6, so this table is what speaks for them. Each name and
// signature was looked up for 245 (src/core/dbus-*.c).
func TestPropertyNames(t *testing.T) {
	const (
		unit     = "Description Slice CollectMode Before "
		accounts = "MemoryAccounting CPUAccounting TasksAccounting "
		devices  = "DevicePolicy DeviceAllow DeviceAllow "
		identity = "User Group SupplementaryGroups WorkingDirectory "
		execute  = "Type ExecStart ExecStopPost PermissionsStartOnly Restart RemainAfterExit NotifyAccess IgnoreSIGPIPE OOMPolicy " +
			"OOMScoreAdjust TimeoutStartUSec WatchdogUSec LimitNOFILE "
		stop    = "KillMode SendSIGKILL KillSignal TimeoutStopUSec RuntimeMaxUSec "
		basic   = "NoNewPrivileges "
		mounts  = "ProtectSystem ProtectHome ProtectKernelTunables ProtectKernelModules ProtectKernelLogs ProtectControlGroups ProtectHostname ProtectClock CapabilityBoundingSet "
		seccomp = "RestrictSUIDSGID LockPersonality RestrictNamespaces RestrictRealtime SystemCallArchitectures SystemCallErrorNumber "
		calls   = "SystemCallFilter "
		paths   = "PrivateTmp ReadWritePaths "
		journal = "StandardInput StandardOutput StandardError SyslogIdentifier "
		rate    = "LogExtraFields LogRateLimitIntervalUSec LogRateLimitBurst "
		cached  = "CacheDirectory Environment EnvironmentFiles "
		limits1 = "MemoryMax CPUQuotaPerSecUSec CPUWeight TasksMax "
		limits2 = "MemoryMax MemoryHigh MemorySwapMax CPUQuotaPerSecUSec CPUWeight AllowedCPUs IOWeight TasksMax "
		modern  = unit + accounts + limits2 + devices + identity + execute + stop + basic + mounts + seccomp +
			"PrivateNetwork ProtectProc " + calls + paths + cached + journal + rate
	)
	tests := []struct {
		name     string
		host     Host
		want     string
		warnings []string // how each begins
	}{
		{
			"JetPack 5", jetpack5,
			unit + accounts + limits1 + devices + identity + execute + stop + basic + mounts + seccomp +
				"PrivateNetwork " + calls + paths + cached + journal + rate,
			[]string{"memory_high is not", "memory_swap_max is not", "cpus is not", "io_weight is not", "sandbox: systemd 245 does not know ProtectProc"},
		},
		{"JetPack 6", jetpack6, modern, nil},
		{"Debian 11", debian11, modern, nil},
		{"Debian 12", debian12, modern, nil},
		{"Debian 13", debian13, modern, nil},
		{
			"Debian 12 on v1", hybrid252,
			strings.ReplaceAll(modern, limits2, limits1),
			[]string{"memory_high is not", "memory_swap_max is not", "cpus is not", "io_weight is not"},
		},
		{
			"user manager", user252,
			"Description Slice CollectMode " + accounts +
				"MemoryMax MemoryHigh MemorySwapMax CPUQuotaPerSecUSec CPUWeight TasksMax " +
				"WorkingDirectory " + execute + stop + basic + seccomp + calls + "Environment EnvironmentFiles " + journal,
			[]string{
				"cpus is not", "io_weight is not", "devices is not",
				"sandbox: a user's service manager cannot do ProtectSystem, ", "log_rate is not",
			},
		},
		{
			"old user manager", user249,
			"Description Slice CollectMode " + accounts +
				"MemoryMax MemoryHigh MemorySwapMax TasksMax " +
				"WorkingDirectory " + execute + stop + basic + seccomp + calls + "Environment EnvironmentFiles " + journal,
			[]string{
				"cpu_quota is not", "cpu_weight is not", "cpus is not", "io_weight is not", "devices is not",
				"sandbox: a user's service manager cannot do ProtectSystem, ", "log_rate is not",
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spec := fullSpec()
			if test.host.User {
				spec.User, spec.Group, spec.SupplementaryGroups = "", "", nil
			}
			props, warnings, err := properties(spec, test.host, recorder)
			if err != nil {
				t.Fatal(err)
			}
			got, want := names(props), strings.Fields(test.want)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("properties\n%v, want\n%v", got, want)
			}
			if !slices.EqualFunc(warnings, test.warnings, strings.HasPrefix) {
				t.Errorf("warnings\n%q, want\n%q", warnings, test.warnings)
			}
		})
	}
}

// TestPropertyValues checks values with the signatures of
// org.freedesktop.systemd1(5).
func TestPropertyValues(t *testing.T) {
	props, _, err := properties(fullSpec(), debian12, recorder)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, signature string
		want            any
	}{
		{"ExecStart", "a(sasb)", []execCommand{{"/usr/bin/python3", []string{"/usr/bin/python3", "-m", "$$HOME"}, false}}},
		{"ExecStopPost", "a(sasb)", []execCommand{{recorder[0], recorder, true}}},
		{"PermissionsStartOnly", "b", true},
		{"Type", "s", "notify"},
		{"Restart", "s", "no"},
		{"RemainAfterExit", "b", false},
		{"CollectMode", "s", "inactive"},
		{"IgnoreSIGPIPE", "b", false},
		{"OOMPolicy", "s", "stop"},
		{"OOMScoreAdjust", "i", int32(500)},
		{"NotifyAccess", "s", "all"},
		{"KillMode", "s", "mixed"},
		{"KillSignal", "i", int32(2)},
		{"SendSIGKILL", "b", true},
		{"TimeoutStopUSec", "t", uint64(30_000_000)},
		{"TimeoutStartUSec", "t", uint64(60_000_000)},
		{"RuntimeMaxUSec", "t", uint64(3_600_000_000)},
		{"WatchdogUSec", "t", uint64(1_000_000)},
		{"Slice", "s", "brainjar.slice"},
		{"Before", "as", []string{"brainjar.service"}},
		{"LimitNOFILE", "t", uint64(65536)},
		{"MemoryMax", "t", uint64(8 << 30)},
		{"MemorySwapMax", "t", uint64(0)},
		{"CPUQuotaPerSecUSec", "t", uint64(125_000)},
		{"AllowedCPUs", "ay", []byte{0b1001, 0b10}},
		{"TasksMax", "t", uint64(512)},
		{"DevicePolicy", "s", "closed"},
		{"DeviceAllow", "a(ss)", []deviceRule{{"/dev/nvmap", "rw"}, {"/dev/ttyUSB0", "r"}}},
		{"LogExtraFields", "aay", [][]byte{[]byte("BRAINJAR_EXPERIMENT=amnesiac_001"), []byte("BRAINJAR_RUN=7")}},
		{"LogRateLimitIntervalUSec", "t", uint64(30_000_000)},
		{"LogRateLimitBurst", "u", uint32(100)},
		{"SyslogIdentifier", "s", "brainjar-amnesiac_001"},
		{"EnvironmentFiles", "a(sb)", []environmentFile{{"/etc/lab/common", false}, {"/etc/lab/local", true}}},
		{"CacheDirectory", "as", []string{"brainjar-amnesiac_001"}},
		{"ReadWritePaths", "as", []string{"/srv/lab", "/srv/out"}},
		{"PrivateTmp", "b", true},
		{"ProtectSystem", "s", "strict"},
		{"CapabilityBoundingSet", "t", uint64(0)},
		{"RestrictNamespaces", "t", uint64(0)},
		{"SystemCallFilter", "(bas)", systemCallFilter{true, []string{"@system-service"}}},
		{"SystemCallErrorNumber", "i", int32(1)},
		{"Environment", "as", []string{
			"PYTHONUNBUFFERED=1",
			"XDG_CACHE_HOME=/var/cache/brainjar-amnesiac_001",
			"CUDA_CACHE_PATH=/var/cache/brainjar-amnesiac_001/cuda",
			"HF_HOME=/models",
			"MODE=a",
			"EXPERIMENT_ID=amnesiac_001",
			"BRAINJAR_EXPERIMENT=amnesiac_001",
			"BRAINJAR_RUN=7",
			"BRAINJAR_ATTEMPT=2",
			"BRAINJAR_LAST_RESULT=exit-code",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := sent(props, test.name)
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %#v, want %#v", got, test.want)
			}
			for _, p := range props {
				if s := p.Value.Signature().String(); p.Name == test.name && s != test.signature {
					t.Errorf("signature %s, want %s", s, test.signature)
				}
			}
		})
	}
}

func TestPropertiesRefused(t *testing.T) {
	const allow = "allow_unenforced = true"
	tests := []struct {
		name   string
		host   Host
		change func(*Spec)
		want   []string // what the error says
	}{
		{"limits on v1", jetpack5, func(s *Spec) { s.Limits.Implied = nil },
			[]string{"cannot enforce memory_high", "cannot enforce memory_swap_max", "cannot enforce cpus", "cannot enforce io_weight", "control groups v1", allow}},
		{"devices of a user manager", user252, func(s *Spec) {
			s.User, s.Group, s.SupplementaryGroups = "", "", nil
			s.Limits.Implied = []string{"cpus", "io_weight"}
		}, []string{"cannot enforce devices", allow}},
		{"memory for the recorder", debian12, func(s *Spec) { s.Limits.MemoryMax = 15 * quantity.MiB }, []string{"memory_max 15M", "16M"}},
		{"CPU for the recorder", debian12, func(s *Spec) { s.Limits.CPUQuota = 4.9 }, []string{"cpu_quota 4.9%", "5%"}},
		{"tasks for the recorder", debian12, func(s *Spec) { s.Limits.TasksMax = 15 }, []string{"tasks_max 15", "16"}},
		{"root by omission", debian12, func(s *Spec) { s.User = "" }, []string{"root"}},
		{"another user", user252, func(*Spec) {}, []string{"another user"}},
		{"relative program", debian12, func(s *Spec) { s.Command = []string{"python3"} }, []string{"absolute path"}},
		{"no program", debian12, func(s *Spec) { s.Command = nil }, []string{"absolute path"}},
		{"a device elsewhere", debian12, func(s *Spec) { s.Devices[0].Path = "/etc/passwd" }, []string{"/etc/passwd", "/dev"}},
		{"state in a private /tmp", debian12, func(s *Spec) { s.User, s.DynamicUser, s.WorkingDirectory = "", true, "/tmp/x" }, []string{"/tmp/x"}},
		{"scope", debian12, func(s *Spec) { s.Kind = Scope }, []string{"a sandbox", "a watchdog", "a ready notification"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spec := fullSpec()
			test.change(&spec)
			props, _, err := properties(spec, test.host, recorder)
			if err == nil || props != nil {
				t.Fatalf("properties %v, error %v", names(props), err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want something with %q", err, want)
				}
			}
		})
	}
}

// TestSystemCallFilter: the first list that systemd gets decides whether it allows or
// denies, so there must be one; and a call that is denied must not kill.
func TestSystemCallFilter(t *testing.T) {
	for sandbox, allow := range map[Sandbox]bool{SandboxDefault: false, SandboxStrict: true} {
		spec := fullSpec()
		spec.Sandbox = sandbox
		props, _, err := properties(spec, debian12, recorder)
		if err != nil {
			t.Fatal(err)
		}
		var filters []systemCallFilter
		for _, p := range props {
			if filter, ok := p.Value.Value().(systemCallFilter); ok {
				filters = append(filters, filter)
			}
		}
		if len(filters) != 1 || filters[0].Allow != allow || len(filters[0].Names) == 0 {
			t.Errorf("%s has the filters %v, want one that allows: %v", sandbox, filters, allow)
		}
		if sent(props, "SystemCallErrorNumber") == nil {
			t.Errorf("%s kills what calls what is denied", sandbox)
		}
	}
}

// TestPlainSpec: what is not asked for is left to systemd.
func TestPlainSpec(t *testing.T) {
	spec := Spec{Experiment: "x", Kind: Service, Command: []string{"/bin/true"}, User: "root", Sandbox: SandboxOff}
	props, warnings, err := properties(spec, debian12, nil)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("warnings %q, error %v", warnings, err)
	}
	for _, name := range strings.Fields("MemoryMax MemorySwapMax DevicePolicy DeviceAllow ProtectSystem PrivateTmp CacheDirectory " +
		"WatchdogUSec RuntimeMaxUSec TimeoutStartUSec ExecStopPost PermissionsStartOnly LimitNOFILE KillSignal LogRateLimitBurst") {
		if v := sent(props, name); v != nil {
			t.Errorf("%s = %v", name, v)
		}
	}
	if got := sent(props, "Type"); got != "exec" {
		t.Errorf("Type = %v", got)
	}
}

// TestType: a systemd that loops for ever over Type=exec is not asked for it.
func TestType(t *testing.T) {
	for version, want := range map[int]string{245: "simple", 247: "simple", 248: "simple", 249: "exec", 257: "exec"} {
		host := debian12
		host.Version = version
		for ready, want := range map[Ready]string{"": want, ReadyExec: want, ReadyNotify: "notify"} {
			spec := fullSpec()
			spec.Ready = ready
			props, _, err := properties(spec, host, recorder)
			if got := sent(props, "Type"); got != want || err != nil {
				t.Errorf("systemd %d, ready %q: Type = %v, want %s, %v", version, ready, got, want, err)
			}
		}
	}
}

func TestScopeProperties(t *testing.T) {
	spec := fullSpec()
	spec.Kind, spec.Sandbox, spec.Ready, spec.Watchdog = Scope, SandboxOff, ReadyExec, 0
	for host, policy := range map[int]any{245: nil, 252: nil, 253: "stop"} {
		props, _, err := properties(spec, Host{Version: host, Unified: true, Controllers: systemControllers, Devices: true}, recorder)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Fields("Description Slice CollectMode Before MemoryAccounting CPUAccounting TasksAccounting " +
			"MemoryMax MemoryHigh MemorySwapMax CPUQuotaPerSecUSec CPUWeight AllowedCPUs IOWeight TasksMax " +
			"DevicePolicy DeviceAllow DeviceAllow KillMode SendSIGKILL KillSignal TimeoutStopUSec RuntimeMaxUSec")
		if policy != nil {
			want = append(want, "OOMPolicy")
		}
		if got := names(props); !slices.Equal(got, want) {
			t.Errorf("systemd %d: %v, want %v", host, got, want)
		}
		if got := sent(props, "KillMode"); got != "control-group" {
			t.Errorf("KillMode = %v", got)
		}
	}
}

func TestReservedEnvironment(t *testing.T) {
	spec := fullSpec()
	spec.Environment = []string{"BRAINJAR_RUN=99", "PYTHONUNBUFFERED="}
	props, warnings, err := properties(spec, debian12, recorder)
	if err != nil {
		t.Fatal(err)
	}
	environment := sent(props, "Environment").([]string)
	if slices.Contains(environment, "BRAINJAR_RUN=99") || slices.Contains(environment, "PYTHONUNBUFFERED=1") || !slices.Contains(environment, "PYTHONUNBUFFERED=") {
		t.Errorf("environment %q", environment)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "BRAINJAR_RUN") {
		t.Errorf("warnings %q", warnings)
	}
}
