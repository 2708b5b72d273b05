package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"brainjar/internal/runlog"
)

func write(t *testing.T, logs *runlog.Logs, experiment string, run int, text string) {
	t.Helper()
	path, err := logs.Create(experiment, run)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// A run whose output is in a file is read there, and the journal does not matter.
func TestOutputOfAFile(t *testing.T) {
	o := Output{Files: runlog.New(t.TempDir(), nil)}
	write(t, o.Files, "a", 1, "old\n")
	write(t, o.Files, "a", 2, "one\ntwo\n")
	var got []string
	for line, err := range o.Lines(t.Context(), LogQuery{Experiments: []string{"a"}, Run: 2, Lines: 1}) {
		if err != nil || time.Since(line.At) > time.Minute || line.Priority != 6 {
			t.Errorf("%+v, %v", line, err)
		}
		got = append(got, fmt.Sprintf("%s %d %s", line.Experiment, line.Run, line.Message))
	}
	if strings.Join(got, ",") != "a 2 two" {
		t.Errorf("%q", got)
	}
}

// Lines of several places come as they are; nobody reads any more when one fails or
// the caller goes away.
func TestMix(t *testing.T) {
	ended := make(chan string, 8)
	say := func(ctx context.Context, name string, fails error, lines ...string) source {
		return func(yield func(Line, error) bool) {
			defer func() { ended <- name }()
			for _, text := range lines {
				if !yield(Line{Message: text}, nil) {
					return
				}
			}
			if fails != nil {
				yield(Line{}, fails)
				return
			}
			<-ctx.Done()
		}
	}
	for _, test := range []struct {
		name  string
		fails error
		stop  int // after so many lines
		want  int
	}{
		{"the caller goes away", nil, 3, 3},
		{"one fails", errors.New("boom"), 9, 4},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		var failed error
		mix(ctx, cancel, []source{say(ctx, "a", nil, "1", "2"), say(ctx, "b", test.fails, "3", "4")}, func(line Line, err error) bool {
			if failed = err; err == nil {
				got = append(got, line.Message)
			}
			return len(got) < test.stop
		})
		if len(got) > test.want || !errors.Is(failed, test.fails) || len(ended) != 2 || slices.Index(got, "2") == 0 {
			t.Errorf("%s: %q, %v, %d ended", test.name, got, failed, len(ended))
		}
		<-ended
		<-ended
	}
}
