package sensors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// programDirs are where programs of the vendor lie. PATH is not asked: brainjar is
// root.
var programDirs = []string{"usr/bin", "usr/sbin", "usr/local/bin"}

// errNoProgram is that a program of the vendor is not installed.
var errNoProgram = errors.New("not installed")

// program finds one of the vendor's programs on this machine.
func (fs FS) program(name string) (string, error) {
	for _, dir := range programDirs {
		path := fs.path(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("cannot find %s: %w", name, errNoProgram)
}

// mostOutput is how much of a program's output is kept, in bytes.
const mostOutput = 1 << 20

// run runs a program through a gate, with fixed arguments, an empty standard input
// and no environment of brainjar's, and returns what it wrote to its standard output
// and to its standard error. After the limit it is killed with all its children, and
// that is an error, as is an exit code other than 0, which comes with what was written.
// One that is stuck in the kernel is left behind.
func run(ctx context.Context, g gate, limit time.Duration, program string, args ...string) (stdout, stderr []byte, err error) {
	const grace = 2 * time.Second // to be killed in
	outer, cancelOuter := context.WithTimeout(ctx, limit+grace)
	defer cancelOuter()
	var out, complaints []byte // not those that are returned: who is left behind writes them later
	var failed error
	if stuck := g.do(outer, func() { out, complaints, failed = execute(ctx, limit, program, args) }); stuck != nil {
		return nil, nil, fmt.Errorf("cannot run %s: no answer within %s: %w", filepath.Base(program), limit, stuck)
	}
	return out, complaints, failed
}

// execute runs a program and returns when it has ended.
func execute(ctx context.Context, limit time.Duration, program string, args []string) (stdout, stderr []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out, complaints capped
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Stdout, cmd.Stderr = &out, &complaints
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // for its output, which a child that left the group could hold
	err = cmd.Run()
	name := filepath.Base(program)
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, nil, fmt.Errorf("cannot run %s: no answer within %s: %w", name, limit, ctx.Err())
	case err != nil:
		err = fmt.Errorf("cannot run %s: %w: %s", name, err, firstLine(complaints.Bytes(), out.Bytes()))
	}
	return out.Bytes(), complaints.Bytes(), err
}

// capped keeps the beginning of what is written to it.
type capped struct{ bytes.Buffer }

// Write never fails, so that the program is not killed for what it writes.
func (c *capped) Write(p []byte) (int, error) {
	if room := mostOutput - c.Len(); room > 0 {
		c.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// firstLine is enough of what a program wrote to put into an error: the first line of
// the first output that has any.
func firstLine(outputs ...[]byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(bytes.Join(outputs, []byte("\n"))), []byte("\n"))
	return string(line[:min(len(line), 200)])
}
