package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the project's own import path.
const module = "brainjar"

// anything in layers lets a package import all of ours.
const anything = "*"

// layers says for each package which of our packages it may import: arrows
// point down. Tests may import more, see TestPackagesImportDownwards.
var layers = map[string][]string{
	".":                       {anything},
	"internal/cli":            {"internal/config", "internal/control", "internal/doctor", "internal/envfile", "internal/journal", "internal/ledger", "internal/legacy", "internal/quantity", "internal/runlog", "sensors", "supervisor", "transient"},
	"internal/control":        {"internal/config", "internal/journal", "internal/ledger", "internal/quantity", "internal/runlog", "sensors", "supervisor", "transient"},
	"internal/doctor":         {"internal/quantity", "sensors", "transient"},
	"supervisor":              {"internal/config", "internal/ledger", "internal/quantity", "internal/runlog", "sensors", "transient"},
	"internal/config":         {"internal/quantity"},
	"transient":               {"internal/quantity"},
	"transient/transienttest": {"internal/quantity", "transient"},
	"sensors":                 {"internal/quantity"},
	"sensors/sensorstest":     {},
	"internal/ledger":         {"internal/quantity"},
	"internal/runlog":         {"internal/quantity"},
	"internal/legacy":         {"internal/config", "internal/envfile", "internal/quantity"},
	"internal/envfile":        {},
	"internal/journal":        {},
	"internal/quantity":       {},
	"internal/archtest":       {},
	"lab/faults":              {"internal/config", "internal/ledger", "internal/quantity", "sensors", "supervisor", "transient", "transient/transienttest"},
}

// owner is a package of others, and the only directories that may know it;
// "." stands for all.
type owner struct {
	path string // of the package, and of those below it
	dirs []string
}

// owners are all dependencies. The first that fits counts.
var owners = []owner{
	{"github.com/coreos/go-systemd/v22/dbus", []string{"transient", "lab"}},
	{"github.com/coreos/go-systemd/v22/daemon", []string{"internal/cli", "transient"}},
	{"github.com/coreos/go-systemd/v22/journal", []string{"internal/journal"}},
	{"github.com/godbus/dbus/v5", []string{"transient", "lab"}},
	{"github.com/shirou/gopsutil/v3", []string{"sensors"}},
	{"github.com/BurntSushi/toml", []string{"internal/config"}},
	{"github.com/spf13/cobra", []string{"internal/cli"}},
	{"github.com/spf13/pflag", []string{"internal/cli"}},
	{"database/sql", []string{"internal/ledger"}},
	{"modernc.org/sqlite", []string{"internal/ledger"}},
	{"golang.org/x/sys", []string{"."}},
	{"github.com/rogpeppe/go-internal/testscript", []string{"internal/cli"}},
}

// testHelpers may be imported by every test.
var testHelpers = []string{"transient/transienttest", "sensors/sensorstest"}

// Packages import only what lies below them. A test may also import the test
// helpers.
func TestPackagesImportDownwards(t *testing.T) { hold(t, importDownwards) }

func importDownwards(files []file) (complaints []string) {
	eachImport(files, func(f file, spec *ast.ImportSpec, imported string) {
		ours, ok := strings.CutPrefix(imported, module+"/")
		if !ok || ours == f.dir() || f.isTest() && slices.Contains(testHelpers, ours) {
			return
		}
		allowed, known := layers[f.dir()]
		switch {
		case !known:
			complaints = append(complaints, fmt.Sprintf("%s: no layer is set for %s: give it one in layers, in internal/archtest", f.at(spec), f.dir()))
		case !slices.Contains(allowed, ours) && !slices.Contains(allowed, anything):
			complaints = append(complaints, fmt.Sprintf("%s: %s must not import %s: pass values, or an interface that the lower package's caller declares", f.at(spec), f.dir(), ours))
		}
	})
	return complaints
}

// Each dependency is known to its owner alone, and there is none without one.
func TestDependenciesHaveOneOwner(t *testing.T) { hold(t, importOwned) }

func importOwned(files []file) (complaints []string) {
	eachImport(files, func(f file, spec *ast.ImportSpec, imported string) {
		for _, o := range owners {
			if imported != o.path && !strings.HasPrefix(imported, o.path+"/") {
				continue
			}
			if !slices.ContainsFunc(o.dirs, func(dir string) bool { return dir == "." || f.in(dir) }) {
				complaints = append(complaints, fmt.Sprintf("%s: only %s may import %s: ask that package for what you need", f.at(spec), strings.Join(o.dirs, " and "), imported))
			}
			return
		}
		if host, _, _ := strings.Cut(imported, "/"); strings.Contains(host, ".") {
			complaints = append(complaints, fmt.Sprintf("%s: %s is not among the project's dependencies: do without, or give the reason in ARCHITECTURE.md and an owner in internal/archtest", f.at(spec), imported))
		}
	})
	return complaints
}

// Only sensors knows the kernel's files about the machine; transient knows
// those about processes and control groups.
func TestOnlySensorsKnowsSysfs(t *testing.T) { hold(t, knowSysfs) }

func knowSysfs(files []file) (complaints []string) {
	for _, f := range files {
		if !f.isGo() || f.isTest() || f.in("sensors") || f.in("internal/archtest") {
			continue
		}
		ast.Inspect(f.syntax, func(node ast.Node) bool {
			if _, ok := node.(*ast.ImportSpec); ok {
				return false
			}
			literal, ok := node.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil || !mentionsKernelFile(text) || f.in("transient") && !mentionsSensorFile(text) {
				return true
			}
			complaints = append(complaints, fmt.Sprintf("%s: %s is a kernel file: read it in sensors (the machine) or transient (processes, control groups)", f.at(literal), literal.Value))
			return true
		})
	}
	return complaints
}

// mentionsKernelFile says whether a text names a file of procfs or sysfs.
func mentionsKernelFile(text string) bool {
	for _, dir := range []string{"proc/", "sys/"} {
		if strings.HasPrefix(text, dir) || strings.Contains(text, "/"+dir) {
			return true
		}
	}
	return false
}

// mentionsSensorFile says whether such a file is about the machine, and not
// about processes or control groups.
func mentionsSensorFile(text string) bool {
	for _, name := range []string{"sys/class", "sys/devices", "sys/kernel/debug", "proc/meminfo", "proc/stat", "proc/device-tree"} {
		if strings.Contains(text, name) {
			return true
		}
	}
	return false
}

// eachImport calls a function for each import of each Go file.
func eachImport(files []file, visit func(f file, spec *ast.ImportSpec, imported string)) {
	for _, f := range files {
		if !f.isGo() {
			continue
		}
		for _, spec := range f.syntax.Imports {
			if imported, err := strconv.Unquote(spec.Path.Value); err == nil {
				visit(f, spec, imported)
			}
		}
	}
}
