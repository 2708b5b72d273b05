//go:build lab

package supervisor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brainjar/sensors/sensorstest"
)

// modeTree is a board in mode 1, 15W, with an nvpmodel that keeps its mode beside it.
const modeTree = `[etc]
nvpmodel.conf = <<
< POWER_MODEL ID=0 NAME=MAXN >
< POWER_MODEL ID=1 NAME=15W >
>>
[usr/sbin]
mode = 1
nvpmodel = <<
#!/bin/sh
cd "${0%/*}"
case $1 in
-q)
	mode=$(cat mode)
	case $mode in 0) echo NV Power Mode: MAXN ;; 1) echo NV Power Mode: 15W ;; esac
	echo "$mode"
	;;
-m) echo "$2" >mode ;;
*) exit 2 ;;
esac
>>
`

// The power mode of a run stays as long as the run, also when brainjar is killed, and
// what was there before comes back when it has ended, whoever is there then.
func TestPowerModeOutlivesKill(t *testing.T) {
	dir, state := sensorstest.Tree(t, modeTree), t.TempDir()
	mode := func() string {
		text, err := os.ReadFile(filepath.Join(dir, "usr/sbin/mode"))
		must(t, err)
		return strings.TrimSpace(string(text))
	}
	config := shippedHead + "[experiments.fast]\ncommand = [\"/bin/sleep\", \"1000\"]\npower_mode = \"maxn\"\n"
	first := ship(t, state, config, "--sysroot", dir)
	first.await("it runs in its mode", 30*time.Second, func() bool {
		return mode() == "0" && strings.Contains(first.logged(), "unit=brainjar-fast.service")
	})
	first.kill()
	second := ship(t, state, config, "--sysroot", dir)
	second.await("it is found", 30*time.Second, func() bool { return strings.Contains(second.logged(), "found running") })
	if got := mode(); got != "0" {
		t.Errorf("while it runs on the mode is %s", got)
	}
	second.kill()
	_, err := run("systemctl", "stop", "brainjar-fast.service")
	must(t, err)
	third := ship(t, state, config, "--sysroot", dir)
	third.await("what was there before comes back, and is told", 30*time.Second, func() bool {
		return mode() == "1" && strings.Contains(third.logged(), "power mode put back mode=15W before=MAXN")
	})
	third.drain(30 * time.Second)
	if _, err := os.Stat(filepath.Join(state, "power-mode.json")); err == nil {
		t.Error("it is written down still")
	}
}
