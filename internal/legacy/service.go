package legacy

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// oneToOne are the directives that a key says, value by value.
var oneToOne = map[string]struct {
	key     string
	convert converter
}{
	"MemoryMax":       {"memory_max", size},
	"MemoryLimit":     {"memory_max", size},
	"MemoryHigh":      {"memory_high", size},
	"MemorySwapMax":   {"memory_swap_max", swapSize},
	"CPUQuota":        {"cpu_quota", percent},
	"CPUWeight":       {"cpu_weight", whole(1, 10000)},
	"IOWeight":        {"io_weight", whole(1, 10000)},
	"AllowedCPUs":     {"cpus", cpuList},
	"CPUAffinity":     {"cpus", cpuList},
	"TasksMax":        {"tasks_max", whole(16, 1<<22)},
	"LimitNOFILE":     {"open_files", openFiles},
	"User":            {"user", account},
	"Group":           {"group", account},
	"RuntimeMaxSec":   {"runtime_max", span(time.Second)},
	"TimeoutStopSec":  {"stop_timeout", span(time.Second)},
	"KillSignal":      {"stop_signal", signal},
	"WatchdogSec":     {"watchdog", span(time.Second)},
	"TimeoutStartSec": {"ready_timeout", span(time.Second)},
	"RestartSec":      {"restart.delay", span(time.Millisecond)},
}

// granted are directives that brainjar's units have too, or that have no meaning for
// them: there is nothing to say about these.
var granted = words(`Environment EnvironmentFile ExecStart Type Restart StandardOutput StandardError SyslogIdentifier
	MemoryAccounting CPUAccounting IOAccounting TasksAccounting KillMode SendSIGKILL DeviceAllow DevicePolicy SupplementaryGroups
	StartLimitInterval StartLimitIntervalSec StartLimitBurst RestartPreventExitStatus SuccessExitStatus
	ReadWritePaths ReadWriteDirectories WorkingDirectory OOMPolicy NotifyAccess TimeoutSec UMask`)

// hardening are the directives of which a sandbox is made; brainjar's default has them.
var hardening = words(`NoNewPrivileges PrivateTmp ProtectSystem ProtectHome CapabilityBoundingSet AmbientCapabilities
	ProtectKernelTunables ProtectKernelModules ProtectKernelLogs ProtectControlGroups RestrictSUIDSGID LockPersonality
	RestrictNamespaces RestrictRealtime SystemCallArchitectures ProtectHostname ProtectClock PrivateDevices`)

func words(text string) map[string]bool {
	set := make(map[string]bool)
	for _, word := range strings.Fields(text) {
		set[word] = true
	}
	return set
}

// convertUnit makes keys of the unit's directives, and of the variables.
func (c *conversion) convertUnit() {
	for _, name := range c.unit.names("Service") {
		set := c.unit.values("Service", name)
		one, isOne := oneToOne[name]
		switch {
		case len(set) == 0, granted[name], hardening[name]:
		case isOne:
			c.convertOne(one.key, one.convert, set[len(set)-1])
		default:
			last := set[len(set)-1]
			c.note(last.at, fmt.Sprintf("%s=%s is not carried over: %s", name, last.value, whyNot(name)))
		}
	}
	for _, d := range c.unit.values("Unit", "Description") {
		c.set("description", quoted(c.stated(c.specifiers(d.value, d))), d.at.String())
	}
	c.convertCommand()
	c.convertWorkingDirectory()
	c.convertRestart()
	c.convertPaths()
	c.convertDevices()
	c.convertSandbox()
	c.convertVariables()
	c.settle()
}

// whyNot says what stands in the place of a directive that brainjar does not have.
func whyNot(name string) string {
	switch name {
	case "Nice", "CPUShares", "CPUSchedulingPolicy":
		return "cpu_weight says what share of the CPUs it gets"
	case "OOMScoreAdjust", "Slice", "Delegate":
		return "brainjar sets it itself for every experiment"
	case "ExecStartPre", "ExecStartPost", "ExecStop", "ExecStopPost", "ExecReload":
		return "an experiment has one command; let that do it"
	case "PrivateNetwork", "SystemCallFilter":
		return `sandbox = "strict" has it`
	case "LogRateLimitBurst", "LogRateLimitIntervalSec":
		return "log_rate says both"
	}
	return "brainjar has nothing like it"
}

func (c *conversion) convertOne(key string, convert converter, d directive) {
	text, from, err := c.meant(d)
	toml := ""
	if err == nil {
		toml, err = convert(text)
	}
	if err != nil {
		c.note(d.at, fmt.Sprintf("%s=%s %v; it is not carried over", d.name, d.value, err))
		return
	}
	if key == "memory_swap_max" && toml == `"0"` {
		// brainjar's own default. Written, it would refuse every start on control groups
		// v1 (JetPack 5), where nobody can enforce it; systemd passed over it there.
		return
	}
	c.set(key, toml, from)
}

// convertCommand makes command of ExecStart=, and config of the file after --config.
func (c *conversion) convertCommand() {
	set := c.unit.values("Service", "ExecStart")
	if len(set) == 0 {
		return
	}
	d := set[0]
	if len(set) > 1 {
		c.note(set[1].at, "another ExecStart= is not carried over: an experiment has one command")
	}
	words, err := c.words(d)
	if err != nil || len(words) == 0 {
		c.note(d.at, fmt.Sprintf("ExecStart=%s cannot be read: %v", d.value, err))
		return
	}
	program := strings.TrimLeft(words[0], "-@:+!|")
	if prefix := strings.TrimSuffix(words[0], program); prefix != "" {
		c.note(d.at, fmt.Sprintf("%q before the program is not carried over", prefix))
		if strings.Contains(prefix, "@") && len(words) > 1 {
			words = slices.Delete(words, 1, 2) // its name in the list of processes
		}
	}
	if program == "" || strings.Contains(program, "/") && !path.IsAbs(program) {
		c.note(d.at, fmt.Sprintf("the program of ExecStart=%s is no absolute path", d.value))
		return
	}
	words[0] = program
	for i, word := range words {
		if file, ok := strings.CutPrefix(word, "--config="); ok && c.config(file, d) {
			words[i] = "--config={config}"
		} else if i > 0 && words[i-1] == "--config" && c.config(word, d) {
			words[i] = "{config}"
		} else {
			words[i] = c.stated(word)
		}
	}
	c.set("command", list(words), d.at.String()+" ExecStart=")
}

// config takes the path of an experiment's own configuration for the key of that name,
// so that `brainjar start --config` can give another.
func (c *conversion) config(file string, d directive) bool {
	if !strings.Contains(file, idMark) {
		return false
	}
	c.set("config", quoted(c.stated(file)), d.at.String()+" ExecStart=")
	return true
}

func (c *conversion) convertWorkingDirectory() {
	for _, d := range c.unit.values("Service", "WorkingDirectory") {
		dir := c.specifiers(strings.TrimPrefix(d.value, "-"), d)
		if !path.IsAbs(dir) {
			c.note(d.at, "WorkingDirectory="+d.value+" is not carried over: brainjar wants an absolute path")
			continue
		}
		c.set("working_directory", quoted(c.stated(dir)), d.at.String())
	}
}

// convertPaths makes lists of paths.
func (c *conversion) convertPaths() {
	var writable, files []string
	var from, fileFrom string
	for _, d := range append(c.unit.values("Service", "ReadWriteDirectories"), c.unit.values("Service", "ReadWritePaths")...) {
		paths, err := splitWords(d.value)
		if err != nil {
			c.note(d.at, fmt.Sprintf("%s=%s cannot be read: %v", d.name, d.value, err))
		}
		for _, p := range paths {
			bare := c.specifiers(strings.TrimLeft(p, "-+"), d)
			if !path.IsAbs(bare) {
				c.note(d.at, p+" is not carried over: brainjar wants an absolute path")
				continue
			}
			if strings.HasPrefix(p, "-") {
				c.note(d.at, bare+" has to be there now, for it is in writable_paths; the - before it allowed it to be absent")
			}
			writable, from = append(writable, c.stated(bare)), d.at.String()
		}
	}
	for _, d := range c.unit.values("Service", "EnvironmentFile") {
		if strings.Contains(d.value, "%i") || strings.Contains(d.value, "%I") {
			continue // its variables are in the configuration now
		}
		file := c.specifiers(d.value, d)
		if !path.IsAbs(strings.TrimPrefix(file, "-")) {
			c.note(d.at, d.value+" is not carried over: brainjar wants an absolute path")
			continue
		}
		files, fileFrom = append(files, c.stated(file)), d.at.String()
	}
	if writable != nil {
		c.set("writable_paths", list(writable), from)
	}
	if files != nil {
		c.set("environment_files", list(files), fileFrom)
	}
}
