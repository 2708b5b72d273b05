package legacy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// policies are the values of Restart= that brainjar has, and what comes nearest to others.
var policies = map[string]string{
	"no": "no", "on-failure": "on-failure", "always": "always",
	"on-abnormal": "on-failure", "on-abort": "on-failure", "on-watchdog": "on-failure", "on-success": "no",
}

// convertRestart makes the table restart.
func (c *conversion) convertRestart() {
	if d, ok := c.last("Restart"); ok {
		policy, known := policies[d.value]
		switch {
		case !known:
			c.note(d.at, "Restart="+d.value+" is no policy that systemd knows; it is not carried over")
		case policy != d.value:
			c.note(d.at, fmt.Sprintf("Restart=%s is %s now, which comes nearest", d.value, policy))
			fallthrough
		default:
			c.set("restart.policy", quoted(policy), d.at.String()+" Restart="+d.value)
		}
	} else if len(c.unit) > 0 {
		c.set("restart.policy", quoted("no"), "there was no Restart=")
	}
	if d, ok := c.last("StartLimitBurst"); ok {
		n, err := strconv.Atoi(d.value)
		if err == nil && n >= 1 && n < 1e6 {
			c.set("restart.max_restarts", strconv.Itoa(n-1), fmt.Sprintf("%s StartLimitBurst=%d: the start, and %d restarts", d.at, n, n-1))
		} else {
			c.note(d.at, "StartLimitBurst="+d.value+" is not carried over")
		}
	}
	for _, name := range []string{"StartLimitInterval", "StartLimitIntervalSec"} {
		if d, ok := c.last(name); ok {
			c.convertOne("restart.reset_after", span(time.Second), d)
		}
	}
	c.convertCodes("RestartPreventExitStatus", "restart.fatal_codes", nil)
	c.convertCodes("SuccessExitStatus", "restart.success_codes", []string{"0"})
}

// last returns what a directive of [Service], or one that older systemds had there and
// newer ones have in [Unit], was set to at last.
func (c *conversion) last(name string) (directive, bool) {
	for _, section := range []string{"Service", "Unit"} {
		if set := c.unit.values(section, name); len(set) > 0 {
			return set[len(set)-1], true
		}
	}
	return directive{}, false
}

// convertCodes makes a list of exit codes; names of codes and signals are told.
func (c *conversion) convertCodes(name, key string, codes []string) {
	var from string
	for _, d := range c.unit.values("Service", name) {
		for _, word := range strings.Fields(d.value) {
			n, err := strconv.Atoi(word)
			if err != nil || n < 0 || n > 255 {
				c.note(d.at, fmt.Sprintf("%s in %s= is not carried over: brainjar wants exit codes from 0 to 255", word, name))
				continue
			}
			if n == 0 && key == "restart.success_codes" {
				continue // is there
			}
			codes, from = append(codes, strconv.Itoa(n)), d.at.String()
		}
	}
	if from != "" {
		c.set(key, "["+strings.Join(codes, ", ")+"]", from)
	}
}

// convertDevices makes devices of DeviceAllow=, and gpu of those of NVIDIA.
func (c *conversion) convertDevices() {
	var devices []string
	var from string
	for _, d := range c.unit.values("Service", "DeviceAllow") {
		node, access, _ := strings.Cut(c.plain(d.value, d), " ")
		access = strings.TrimSpace(access)
		switch {
		case isGPU(node):
			if _, ok := c.settings["gpu"]; !ok {
				c.set("gpu", "true", d.at.String()+": the nodes that this board's CUDA needs, found at the start")
			}
		case !strings.HasPrefix(node, "/dev/") || strings.Trim(access, "rwm") != "":
			c.note(d.at, "DeviceAllow="+d.value+" is not carried over: devices wants nodes like \"/dev/ttyUSB0 rw\"")
		default:
			devices, from = append(devices, strings.TrimSpace(node+" "+access)), d.at.String()
		}
	}
	if devices != nil {
		c.set("devices", list(devices), from)
	}
	for _, d := range c.unit.values("Service", "SupplementaryGroups") {
		if _, gpu := c.settings["gpu"]; !gpu || strings.Trim(d.value, " ") != "video" && d.value != "video render" {
			c.note(d.at, "SupplementaryGroups="+d.value+" is not carried over: put the user into these groups")
		}
	}
}

// isGPU says whether a device node belongs to NVIDIA's GPU, on a board or in a PC.
func isGPU(node string) bool {
	for _, prefix := range []string{"/dev/nvidia", "/dev/nvhost", "/dev/nvmap", "/dev/nvgpu", "/dev/dri/", "char-nvidia"} {
		if strings.HasPrefix(node, prefix) {
			return true
		}
	}
	return false
}

// convertSandbox tells where brainjar's default keeps an experiment from more than the
// old unit did.
func (c *conversion) convertSandbox() {
	if d, ok := c.last("Type"); ok {
		switch d.value {
		case "notify", "notify-reload":
			c.set("ready", quoted("notify"), d.at.String()+" Type="+d.value)
		case "simple", "exec":
		default:
			c.note(d.at, "Type="+d.value+" is not carried over: the command has to stay in the foreground")
		}
	}
	if len(c.unit) == 0 {
		return
	}
	at := place{file: c.unit[0].at.file}
	hardened := false
	for _, d := range c.unit {
		hardened = hardened || d.section == "Service" && hardening[d.name]
	}
	if !hardened {
		c.note(at, "has no sandbox, and brainjar's default is one: an experiment that cannot work in it wants sandbox = \"off\", and user")
	}
	for _, name := range []string{"StandardOutput", "StandardError"} {
		if d, ok := c.last(name); ok && d.value != "journal" && d.value != "inherit" {
			c.note(d.at, name+"="+d.value+` is not carried over: output goes to the journal, or with log = "file" to a file for each run`)
		}
	}
}

// settle makes keys agree that the old installation did not hold together.
func (c *conversion) settle() {
	if _, ok := c.settings["user"]; !ok && len(c.unit) > 0 {
		c.note(place{file: c.unit[0].at.file}, "has no User=, so it ran as root; it runs as the owner of working_directory now, or as a user made for the run")
		delete(c.settings, "group")
	}
	if _, notify := c.settings["ready"]; !notify {
		delete(c.settings, "ready_timeout")
	}
	if d, ok := c.last("RestartSec"); ok {
		delay, kept := c.settings["restart.delay"]
		if length, err := parseSpan(d.value); kept && err == nil && length > 5*time.Minute {
			c.set("restart.max_delay", delay.value, d.at.String())
		}
	}
	for _, name := range []string{"After", "Requires", "Requisite", "BindsTo", "Wants"} {
		for _, d := range c.unit.values("Unit", name) {
			if strings.Contains(d.value, "brain-experiment@") {
				c.note(d.at, fmt.Sprintf("%s=%s is not carried over: after says what an experiment waits for", name, d.value))
			}
		}
	}
}
