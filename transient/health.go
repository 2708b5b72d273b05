package transient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// HealthCheck asks whether a program that runs also works: a command that exits
// with 0, or a URL that answers with a status of 200 to 399.
type HealthCheck struct {
	Exec []string
	HTTP string

	Timeout          time.Duration // of one check
	WorkingDirectory string        // of Exec; "": /
	Environment      []string      // of Exec; it gets nothing else
}

// outputLimit is how much of a check's output is kept for its error, in bytes.
const outputLimit = 1 << 10

// CheckHealth makes one check of a unit and returns nil if it is well. A command
// runs as the user and with the groups of the unit's main process, and is killed
// with all its children when its time is over.
func (m *Manager) CheckHealth(ctx context.Context, u Unit, h HealthCheck) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	var err error
	if h.HTTP != "" {
		err = h.get(ctx)
	} else {
		err = h.run(ctx, m.mainProcess(u))
	}
	return answerError(ctx, h, err)
}

// answerError says in plain words that a check has hung.
func answerError(ctx context.Context, h HealthCheck, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", h.Timeout)
	}
	return err
}

// mainProcess is the main process of a unit, verified to be one of its own, since
// the number may have gone to another process; 0 if it is not.
func (m *Manager) mainProcess(u Unit) int {
	pids, err := m.group(u.Name).pids()
	if err != nil || !slices.Contains(pids, u.MainPID) {
		return 0
	}
	return u.MainPID
}

func (h HealthCheck) get(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.HTTP, nil)
	if err != nil {
		return fmt.Errorf("cannot ask %s: %w", h.HTTP, err)
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true}, // and no proxy
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 399 {
		return fmt.Errorf("%s answered %s", h.HTTP, answer.Status)
	}
	return nil
}

// run runs the command of a check as the user of a process.
func (h HealthCheck) run(ctx context.Context, pid int) error {
	credential, err := credentialOf(pid)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, h.Exec[0], h.Exec[1:]...)
	cmd.Dir, cmd.Env = orRoot(h.WorkingDirectory), h.Environment
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // for a child that keeps the output open
	output := &head{limit: outputLimit}
	cmd.Stdout, cmd.Stderr = output, output
	err = cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind
	}
	if words := strings.TrimSpace(output.String()); err != nil && words != "" {
		return fmt.Errorf("%w: %s", err, words)
	}
	return err
}

func orRoot(dir string) string {
	if dir == "" {
		return "/"
	}
	return dir
}

// head keeps the beginning of what is written to it.
type head struct {
	bytes.Buffer
	limit int
}

func (h *head) Write(b []byte) (int, error) {
	if room := h.limit - h.Len(); room > 0 {
		h.Buffer.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

// ReadFrom hides that of the Buffer, which knows no limit.
func (h *head) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{h}, r)
}

// credentialOf returns the user and the groups of a process, proc(5) status.
// Somebody who is not root has only their own.
func credentialOf(pid int) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if pid <= 0 || err != nil {
		return nil, fmt.Errorf("cannot find out which user it runs as: %w", errors.Join(ErrNoUnit, err))
	}
	c := &syscall.Credential{}
	var uid, gid bool
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		switch key {
		case "Uid":
			c.Uid, uid = second(fields)
		case "Gid":
			c.Gid, gid = second(fields)
		case "Groups":
			for _, field := range fields {
				if n, err := strconv.ParseUint(field, 10, 32); err == nil {
					c.Groups = append(c.Groups, uint32(n))
				}
			}
		}
	}
	if !uid || !gid {
		return nil, fmt.Errorf("cannot find out which user process %d runs as", pid)
	}
	return c, nil
}

// second is the effective one of the four ids that the kernel lists.
func second(fields []string) (uint32, bool) {
	if len(fields) < 2 {
		return 0, false
	}
	n, err := strconv.ParseUint(fields[1], 10, 32)
	return uint32(n), err == nil
}
