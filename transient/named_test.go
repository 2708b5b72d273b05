package transient

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckNamed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "lab.env")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := Spec{
		Command:          []string{"true"},
		WorkingDirectory: dir, WritablePaths: []string{dir, file}, User: "root", Group: "0",
		Devices:          []Device{{"/dev/null", "rw"}},
		EnvironmentFiles: []string{file, "-" + dir + "/absent", dir + "/*.env"},
	}
	if err := CheckNamed(good); err != nil {
		t.Errorf("what is there: %v", err)
	}
	bad := Spec{
		Command:          []string{"no-such-program"},
		WorkingDirectory: file, WritablePaths: []string{dir + "/w"}, User: "nobody-of-that-name", Group: "no-such-group",
		Devices:          []Device{{"/dev/null", "rw"}, {"/dev/no-such-device", "rw"}, {dir, "r"}},
		EnvironmentFiles: []string{dir + "/absent", dir + "/*.none"},
	}
	got := strings.Split(strings.ReplaceAll(CheckNamed(bad).Error(), dir, "DIR"), "\n")
	want := []string{
		"cannot find program no-such-program in " + defaultPath,
		"working_directory: DIR/lab.env is not a directory",
		"writable_paths: stat DIR/w: no such file or directory",
		"devices: there is no /dev/no-such-device on this machine",
		"devices: DIR is not a device node",
		"environment_files: stat DIR/absent: no such file or directory (with a - before it, it may be absent)",
		"environment_files: stat DIR/*.none: no such file or directory (with a - before it, it may be absent)",
		"user: there is no user nobody-of-that-name on this machine",
		"group: there is no group no-such-group on this machine",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// Where nobody can be asked, systemd finds out.
	t.Setenv("PATH", dir)
	if err := CheckNamed(Spec{Command: []string{"/bin/true"}, User: "nobody-of-that-name"}); err != nil {
		t.Errorf("without getent: %v", err)
	}
}
