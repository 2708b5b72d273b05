package sensors

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"brainjar/sensors/sensorstest"
)

func TestParsePowerMode(t *testing.T) {
	for output, want := range map[string]PowerMode{
		"NVPM WARN: fan mode is not set!\nNV Power Mode: MODE_30W\n2\n": {2, "MODE_30W"},
		"NV Power Mode: MAXN\n0\n":                                      {0, "MAXN"},
		"NV Power Mode: MAXN\n0":                                        {0, "MAXN"},
		"NV Fan Mode:quiet\nNV Power Mode: MODE_10W_DESKTOP\n5\n":       {5, "MODE_10W_DESKTOP"},
	} {
		if got, err := parsePowerMode([]byte(output)); err != nil || got != want {
			t.Errorf("%q: got %v, %v", output, got, err)
		}
	}
	for _, output := range []string{"", "\n", "2\n", "NV Power Mode:\n2\n", "NV Power Mode: MAXN", "NV Power Mode: MAXN\nzero\n", "NV Power Mode: MAXN\n-1\n"} {
		if got, err := parsePowerMode([]byte(output)); err == nil {
			t.Errorf("%q was taken for %v", output, got)
		}
	}
}

func TestPowerModes(t *testing.T) {
	modes, err := FS(sensorstest.Board(t, "orin-nano-jp6")).PowerModes()
	if err != nil || len(modes) != 4 || modes[2] != (PowerMode{2, "MAXN_SUPER"}) || modes[3] != (PowerMode{3, "7W"}) {
		t.Errorf("got %v, %v", modes, err)
	}
	for _, board := range []string{"nothing", "x86-desktop"} {
		fs := FS(sensorstest.Board(t, board))
		_, errList := fs.PowerModes()
		_, errNow := fs.PowerMode(t.Context())
		_, errSet := fs.SetPowerMode(t.Context(), "MAXN")
		for _, err := range []error{errList, errNow, errSet} {
			if !errors.Is(err, ErrNoPowerModes) {
				t.Errorf("%s: got %v", board, err)
			}
		}
	}
	if _, err := FS(sensorstest.Tree(t, "[etc]\nnvpmodel.conf = EIO\n")).PowerModes(); err == nil || errors.Is(err, ErrNoPowerModes) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

// board is a machine with modes 0 MAXN, 1 15W and a 7W whose number is 3, and an
// nvpmodel that keeps its mode beside it and does what the script says for -m.
func board(t *testing.T, onSet string) FS {
	t.Helper()
	fs := FS(sensorstest.Tree(t, `[etc]
nvpmodel.conf = <<
< POWER_MODEL ID=0 NAME=MAXN >
< POWER_MODEL ID=1 NAME=15W >
< POWER_MODEL ID=3 NAME=7W >
< PM_CONFIG DEFAULT=1 >
>>
[usr/sbin]
mode = 1
calls =
nvpmodel = <<
#!/bin/sh
cd "${0%/*}"
echo "$*" >>calls
case $1 in
-q)
	mode=$(cat mode)
	echo 'NVPM WARN: fan mode is not set!'
	case $mode in 0) echo NV Power Mode: MAXN ;; 1) echo NV Power Mode: 15W ;; 3) echo NV Power Mode: 7W ;; esac
	echo "$mode"
	;;
-m)
	`+onSet+`
	;;
*) exit 2 ;;
esac
>>
`))
	return fs
}

func TestSetPowerMode(t *testing.T) {
	for _, test := range []struct {
		name, onSet, wanted string
		is                  error
		says                string
		mode                string // afterwards
	}{
		{"by name", `echo "$2" >mode`, "7W", nil, "", "3"},
		{"by name in another case", `echo "$2" >mode`, "maxn", nil, "", "0"},
		{"by number", `echo "$2" >mode`, "3", nil, "", "3"},
		{"as it is", `exit 9`, "15w", nil, "", "1"},
		{"with a warning and a bad exit code", `echo "$2" >mode; exit 1`, "MAXN", nil, "", "0"},
		{"unknown name", `echo "$2" >mode`, "30W", ErrPowerMode, "this board has MAXN, 15W, 7W", "1"},
		{"number of another board", `echo "$2" >mode`, "2", ErrPowerMode, `"2"`, "1"},
		{"no argument of ours", `echo "$2" >mode`, "--force", ErrPowerMode, "", "1"},
		{"reboot", `echo NVPM WARN: Reboot required; read answer && [ "$answer" = YES ] && echo "$2" >mode; exit 1`, "MAXN", ErrModeNeedReboot, "MAXN", "1"},
		{"reboot, among the errors", `echo NVPM ERROR: a reboot is required >&2; exit 1`, "MAXN", ErrModeNeedReboot, "MAXN", "1"},
		{"refused", `echo NVPM ERROR: cannot set; exit 1`, "MAXN", nil, "exit status 1: NVPM ERROR: cannot set", "1"},
		{"lies", `true`, "MAXN", nil, "it is still 15W", "1"},
	} {
		fs := board(t, test.onSet)
		before, err := fs.SetPowerMode(t.Context(), test.wanted)
		if fails := test.is != nil || test.says != ""; (err != nil) != fails || test.is != nil && !errors.Is(err, test.is) || fails && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v", test.name, err)
		}
		if !errors.Is(err, ErrPowerMode) && before != (PowerMode{1, "15W"}) {
			t.Errorf("%s: it was %v before", test.name, before)
		}
		if mode, _ := os.ReadFile(fs.path("usr/sbin/mode")); strings.TrimSpace(string(mode)) != test.mode {
			t.Errorf("%s: the mode is %q", test.name, mode)
		}
		if calls, _ := os.ReadFile(fs.path("usr/sbin/calls")); strings.Contains(string(calls), "force") {
			t.Errorf("%s: calls were %q", test.name, calls)
		}
	}
}

// An nvpmodel that hangs is killed with its children.
func TestNvpmodelHangs(t *testing.T) {
	fs := FS(sensorstest.Tree(t, "[usr/sbin]\nnvpmodel = <<\n#!/bin/sh\nsleep 1000 &\necho $! >${0%/*}/child\nwait\n>>\n"))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := fs.PowerMode(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	// The gate opens again once the program was reaped.
	if err := nvpmodel.do(t.Context(), func() {}); err != nil {
		t.Error(err)
	}
	pid, err := os.ReadFile(fs.path("usr/sbin/child"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; alive(strings.TrimSpace(string(pid))); i++ {
		if i == 1000 {
			t.Fatalf("child %s of nvpmodel lives on", pid)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// alive says whether a process runs: not gone, and no zombie.
func alive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	_, rest, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(rest, "Z")
}

func FuzzParsePowerMode(f *testing.F) {
	f.Add([]byte("NVPM WARN: fan mode is not set!\nNV Power Mode: MODE_30W\n2\n"))
	f.Add([]byte("NV Power Mode: MAXN\n0"))
	f.Add([]byte("NV Power Mode:\n\n"))
	f.Fuzz(func(t *testing.T, output []byte) {
		mode, err := parsePowerMode(output)
		if err == nil && (mode.Name == "" || mode.Number < 0 || strings.Contains(mode.Name, "\n")) {
			t.Errorf("%q was taken for %+v", output, mode)
		}
		for _, mode := range parsePowerModes(output) {
			if mode.Name == "" || strings.ContainsAny(mode.Name, " \n") || mode.Number < 0 {
				t.Errorf("%q holds the mode %+v", output, mode)
			}
		}
	})
}
