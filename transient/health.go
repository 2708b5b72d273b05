package transient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// HealthCheck is one question to a unit that runs: whether all is well with it.
type HealthCheck struct {
	// Exec is a program and its arguments: it exits with 0 while all is well.
	Exec             []string
	WorkingDirectory string // of Exec; "": where the unit's main process is
	// HTTP is a URL, asked if Exec is empty: it answers with a status of 200 to
	// 399 while all is well.
	HTTP string
}

// healthOutput is how many bytes of an answer are kept.
const healthOutput = 4 << 10

// healthGrace is how long a check whose time is over may take to die, or its
// output to end once it has.
const healthGrace = 500 * time.Millisecond

// errBusy: the program of the check before was killed, and is still there.
var errBusy = errors.New("the check before does not end although it was killed")

// CheckHealth makes a check of a unit; nil: all is well. Its time limit is that
// of ctx, after which it returns within a second, whatever the check does.
//
// A program runs with the user, the group and the groups of the unit's main
// process, outside of its sandbox and its limits, in a process group of its own
// that is killed when the program has ended or the time is over. A program that
// cannot even be killed, as with a dead network file system, is left behind;
// there is one at a time for each unit, so these do not pile up.
func (m *Manager) CheckHealth(ctx context.Context, unit Unit, check HealthCheck) error {
	var limit time.Duration
	if deadline, limited := ctx.Deadline(); limited {
		limit = time.Until(deadline).Round(100 * time.Millisecond)
	}
	err := m.checkHealth(ctx, unit, check)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil {
		late := fmt.Sprintf("no answer within %v", limit)
		if said := new(unhealthyError); errors.As(err, &said) && said.output != "" {
			late += ": " + said.output
		}
		return errors.New(late)
	}
	return err
}

func (m *Manager) checkHealth(ctx context.Context, unit Unit, check HealthCheck) error {
	if len(check.Exec) == 0 {
		return askHTTP(ctx, check.HTTP)
	}
	m.mu.Lock()
	busy := m.checking[unit.Name]
	m.checking[unit.Name] = true
	m.mu.Unlock()
	if busy {
		return errBusy
	}
	answer := make(chan error, 1)
	go func() {
		err := m.execute(ctx, unit, check)
		m.mu.Lock()
		delete(m.checking, unit.Name)
		m.mu.Unlock()
		answer <- err
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
	}
	limit := time.NewTimer(2 * healthGrace)
	defer limit.Stop()
	select {
	case err := <-answer:
		return err
	case <-limit.C:
		return ctx.Err()
	}
}

// unhealthyError is a check that was answered, badly.
type unhealthyError struct {
	how    string // "exited with code 3"
	output string // what it said, in one line
}

func (f *unhealthyError) Error() string {
	if f.output == "" {
		return f.how
	}
	return f.how + ": " + f.output
}

// healthClient asks each time anew, and nobody but whom it was told to.
var healthClient = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10},
}

func askHTTP(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("cannot ask %s: %w", address, err)
	}
	request.Header.Set("User-Agent", "brainjar")
	response, err := healthClient.Do(request)
	if err != nil {
		if wrapped := new(url.Error); errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return fmt.Errorf("cannot ask %s: %w", address, err)
	}
	defer response.Body.Close()
	if response.StatusCode < 400 {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, healthOutput)) // what there is of it serves
	return &unhealthyError{fmt.Sprintf("%s answers %s", address, response.Status), oneLine(body)}
}

// shownOutput is how many characters of what a check said are shown.
const shownOutput = 300

// oneLine makes the end of an output readable in one line.
func oneLine(output []byte) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(string(output), "?"))
	text = strings.Join(strings.Fields(text), " ")
	if n := utf8.RuneCountInString(text); n > shownOutput {
		text = "…" + string([]rune(text)[n-shownOutput:])
	}
	return text
}
