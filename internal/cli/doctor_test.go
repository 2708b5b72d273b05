package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"brainjar/internal/doctor"
	"brainjar/transient"
)

// What fails makes exit code 1, and its hint stands below it.
func TestDoctorTells(t *testing.T) {
	held := doctor.Machine{Root: true, Trials: []transient.Trial{{Of: "memory_max", Tried: true, Held: true, Words: "was killed"}}}
	lived := doctor.Machine{Root: true, Trials: []transient.Trial{{Of: "memory_max", Tried: true, Words: "took all and lived"}}}
	for _, m := range []doctor.Machine{held, lived} {
		for _, format := range []string{"table", "json"} {
			checks := doctor.Diagnose(m)[1:2] // that of the limit
			var out bytes.Buffer
			d := doctorCommand{remote: &remote{stdout: &out}, format: format}
			err := d.tell(checks)
			want, verdict := ExitOK, "ok"
			if !m.Trials[0].Held {
				want, verdict = ExitFailed, "fail"
			}
			if code := exitCode(err); code != want {
				t.Errorf("exit %d, want %d\n%s", code, want, out.String())
			}
			if format == "json" {
				var told []doctor.Check
				if err := json.Unmarshal(out.Bytes(), &told); err != nil || len(told) != 1 || string(told[0].Verdict) != verdict {
					t.Errorf("%v: %s", err, out.String())
				}
				continue
			}
			lines := strings.Split(out.String(), "\n")
			if !strings.HasPrefix(lines[0], verdict) || (verdict == "fail") != strings.Contains(lines[1], "-> ") {
				t.Errorf("%s", out.String())
			}
		}
	}
}

// Without a service manager of one's own there is nothing to run on: that fails, and is
// said; brainjar is asked like by any other command.
func TestDoctor(t *testing.T) {
	hasten(t, 0)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	d := newDaemon(t, looking)
	d.run("doctor", "--user", "--state", t.TempDir()).is(t, ExitFailed, "fail  systemd ", "ok    brainjar ", "answers at "+d.socket, "-> ")
	d.run("doctor", "-o", "yaml").is(t, ExitUsage, "table or json")
}
