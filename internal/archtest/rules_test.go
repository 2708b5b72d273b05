package archtest

import (
	"io/fs"
	"strings"
	"testing"
)

// Each rule finds what breaks it, and lets pass what does not.
func TestRulesCanFail(t *testing.T) {
	long := "package x\n" + strings.Repeat("//\n", maxLines-1)
	home := "/" + "home/ada/"
	for _, test := range []struct {
		name string
		rule rule
		path string
		text string
		mode fs.FileMode
		want string // part of the complaint; "": there is none
	}{
		{name: "down", rule: importDownwards, path: "supervisor/a.go", text: `package x; import "brainjar/transient"`},
		{name: "up", rule: importDownwards, path: "transient/a.go", text: `package x; import "brainjar/supervisor"`, want: "transient/a.go:1:19: transient must not import supervisor"},
		{name: "up, in a test", rule: importDownwards, path: "sensors/a_test.go", text: `package x; import "brainjar/internal/config"`, want: "sensors must not import internal/config"},
		{name: "sideways", rule: importDownwards, path: "transient/a.go", text: `package x; import "brainjar/sensors"`, want: "transient must not import sensors"},
		{name: "commands", rule: importDownwards, path: "supervisor/a.go", text: `package x; import "brainjar/internal/cli"`, want: "supervisor must not import internal/cli"},
		{name: "main may all", rule: importDownwards, path: "main.go", text: `package main; import "brainjar/internal/cli"`},
		{name: "helper in a test", rule: importDownwards, path: "supervisor/a_test.go", text: `package x; import "brainjar/transient/transienttest"`},
		{name: "helper outside of tests", rule: importDownwards, path: "supervisor/a.go", text: `package x; import "brainjar/transient/transienttest"`, want: "must not import transient/transienttest"},
		{name: "a package of its test", rule: importDownwards, path: "sensors/a_test.go", text: `package x_test; import "brainjar/sensors"`},
		{name: "new package", rule: importDownwards, path: "internal/new/a.go", text: `package x; import "brainjar/sensors"`, want: "no layer is set for internal/new"},

		{name: "D-Bus at home", rule: importOwned, path: "transient/a.go", text: `package x; import "github.com/godbus/dbus/v5"`},
		{name: "D-Bus below home", rule: importOwned, path: "transient/transienttest/a.go", text: `package x; import "github.com/godbus/dbus/v5"`},
		{name: "D-Bus abroad", rule: importOwned, path: "supervisor/a_test.go", text: `package x; import "github.com/godbus/dbus/v5"`, want: "only transient and lab may import github.com/godbus/dbus/v5"},
		{name: "D-Bus in a neighbour of like name", rule: importOwned, path: "transient2/a.go", text: `package x; import "github.com/godbus/dbus/v5"`, want: "may import github.com/godbus"},
		{name: "systemd's D-Bus", rule: importOwned, path: "internal/cli/a.go", text: `package x; import "github.com/coreos/go-systemd/v22/dbus"`, want: "only transient"},
		{name: "systemd's notify", rule: importOwned, path: "internal/cli/a.go", text: `package x; import "github.com/coreos/go-systemd/v22/daemon"`},
		{name: "gopsutil abroad", rule: importOwned, path: "supervisor/a.go", text: `package x; import "github.com/shirou/gopsutil/v3/mem"`, want: "only sensors may import"},
		{name: "SQL abroad", rule: importOwned, path: "supervisor/a.go", text: `package x; import "database/sql/driver"`, want: "only internal/ledger"},
		{name: "SQL at home", rule: importOwned, path: "internal/ledger/a.go", text: `package x; import _ "modernc.org/sqlite"`},
		{name: "system calls anywhere", rule: importOwned, path: "supervisor/a.go", text: `package x; import "golang.org/x/sys/unix"`},
		{name: "stranger", rule: importOwned, path: "main.go", text: `package x; import "example.com/left-pad"`, want: "not among the project's dependencies"},
		{name: "standard library", rule: importOwned, path: "main.go", text: `package x; import "encoding/json"`},

		{name: "sysfs at home", rule: knowSysfs, path: "sensors/a.go", text: "package x; const a = `/sys/class/hwmon`"},
		{name: "sysfs abroad", rule: knowSysfs, path: "supervisor/a.go", text: `package x; const a = "/sys/class/hwmon"`, want: "supervisor/a.go:1:22: \"/sys/class/hwmon\" is a kernel file"},
		{name: "sysfs, relative", rule: knowSysfs, path: "supervisor/a.go", text: "package x; const a = `sys/class`", want: "is a kernel file"},
		{name: "procfs abroad", rule: knowSysfs, path: "internal/cli/a.go", text: `package x; const a = "/proc/meminfo"`, want: "is a kernel file"},
		{name: "control groups", rule: knowSysfs, path: "transient/a.go", text: `package x; const a, b = "/sys/fs/cgroup", "/proc/self/cgroup"`},
		{name: "heat in transient", rule: knowSysfs, path: "transient/a.go", text: `package x; const a = "/sys/class/thermal"`, want: "is a kernel file"},
		{name: "an import is no file", rule: knowSysfs, path: "supervisor/a.go", text: `package x; import "golang.org/x/sys/unix"`},
		{name: "a comment is no file", rule: knowSysfs, path: "supervisor/a.go", text: "package x // as /proc/meminfo"},

		{name: "as long as may be", rule: shortFiles, path: "a.go", text: long},
		{name: "too long", rule: shortFiles, path: "a.go", text: long + "//\n", want: "a.go: 401 lines"},
		{name: "long text", rule: shortFiles, path: "a.md", text: strings.Repeat("\n", 1000)},

		{name: "own home", rule: noPersonalPath, path: "README.md", text: "see\n" + home + "brainjar", want: "README.md:2: " + home},
		{name: "own home in code", rule: noPersonalPath, path: "a.go", text: `package x; const a = "` + home + `x"`, want: "is a path of one machine"},
		{name: "homes in general", rule: noPersonalPath, path: "a.md", text: "below /home, or lib/home/x/"},

		{name: "link to nowhere", rule: linksLead, path: "docs/a.md", text: "see [b](b.md#c)", want: "docs/a.md: the link to b.md#c leads nowhere"},
		{name: "link to no heading", rule: linksLead, path: "a.md", text: "# One: `two`\n[x](#one)", want: "link to #one leads"},
		{name: "link to a heading", rule: linksLead, path: "docs/a.md", text: "## One: `two`, and\n[x](a.md#one-two-and) [y](#one-two-and)"},
		{name: "link to elsewhere", rule: linksLead, path: "a.md", text: "[x](https://example.org/a.md)"},

		{name: "world-writable", rule: notWorldWritable, path: "lab/ns", mode: 0o757, want: "chmod o-w"},
		{name: "executable", rule: notWorldWritable, path: "lab/ns", mode: 0o755},

		{name: "package", rule: explainPackages, path: "x/a.go", text: "// Package x is for y.\npackage x"},
		{name: "silent package", rule: explainPackages, path: "x/a.go", text: "package x", want: "x: no comment"},
		{name: "package with another's words", rule: explainPackages, path: "x/a.go", text: "// Copyright nobody\npackage x", want: "x: no comment"},
		{name: "tests only", rule: explainPackages, path: "x/a_test.go", text: "package x"},
		{name: "program", rule: explainPackages, path: "main.go", text: "// Brainjar runs.\npackage main"},
		{name: "silent program", rule: explainPackages, path: "main.go", text: "package main", want: ".: no comment"},

		{name: "function", rule: explainNames, path: "a.go", text: "package x\nfunc A() {}", want: "a.go:2:1: A is exported"},
		{name: "explained function", rule: explainNames, path: "a.go", text: "package x\n// A does.\nfunc A() {}"},
		{name: "own function", rule: explainNames, path: "a.go", text: "package x\nfunc a() {}"},
		{name: "method", rule: explainNames, path: "a.go", text: "package x\nfunc (t *T[K, V]) A() {}", want: "A is exported"},
		{name: "method of an own type", rule: explainNames, path: "a.go", text: "package x\nfunc (t *t[K]) A() {}"},
		{name: "type", rule: explainNames, path: "a.go", text: "package x\ntype A int", want: "A is exported"},
		{name: "group", rule: explainNames, path: "a.go", text: "package x\n// The letters.\nconst (\nA = 1\nB = 2\n)"},
		{name: "silent group", rule: explainNames, path: "a.go", text: "package x\nconst (\na = 1\nB = 2\n)", want: "B is exported"},
		{name: "in a test", rule: explainNames, path: "a_test.go", text: "package x\nfunc TestA() {}"},
	} {
		f, err := newFile(test.path, test.mode, test.text)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		complaints := strings.Join(test.rule([]file{f}), "\n")
		if test.want == "" && complaints != "" || !strings.Contains(complaints, test.want) {
			t.Errorf("%s: complaints are %q, want %q", test.name, complaints, test.want)
		}
	}
}
