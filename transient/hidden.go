package transient

// The hidden modes of the binary: what systemd and the Manager run it as.
const (
	recordMode = "record"
	scopeMode  = "scope-exec"
)

// Hidden runs one of the binary's hidden modes, if args (without the program's
// name) ask for one, and returns the exit code. It must be the first thing in
// main, and in the TestMain of a test that starts units: the recorder runs
// inside the limits of a unit, and systemd waits for it.
func Hidden(args []string) (code int, handled bool) {
	if len(args) == 0 {
		return 0, false
	}
	switch args[0] {
	case recordMode:
		return runRecorder(args[1:]), true
	case scopeMode:
		return runScopeExec(args[1:]), true
	case trialMode:
		return runTrial(args[1:]), true
	}
	return 0, false
}
