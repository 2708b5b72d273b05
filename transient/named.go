package transient

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// CheckNamed refuses a spec that names programs, paths, devices or accounts that are not
// there, each in a line of the error: systemd would answer with an exit status alone, and
// only after it had begun, or not at all. It looks at file systems and account databases,
// and so may take seconds.
func CheckNamed(spec Spec) error {
	_, noProgram := resolveCommand(spec)
	return errors.Join(
		noProgram,
		checkDirectory(spec.WorkingDirectory),
		checkWritable(spec.WritablePaths),
		checkDevices(spec.Devices),
		checkEnvironmentFiles(spec.EnvironmentFiles),
		checkAccount("user", "passwd", spec.User),
		checkAccount("group", "group", spec.Group),
	)
}

// missing is an error of a path that is not there. One that may not be looked at
// is left to systemd, which may have rights that this process has not.
func missing(key string, err error) error {
	if err == nil || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return fmt.Errorf("%s: %w", key, err)
}

func checkDirectory(dir string) error {
	if dir == "" {
		return nil
	}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("working_directory: %s is not a directory", dir)
	}
	return missing("working_directory", err)
}

func checkWritable(paths []string) error {
	var errs []error
	for _, path := range paths {
		_, err := os.Stat(path)
		errs = append(errs, missing("writable_paths", err))
	}
	return errors.Join(errs...)
}

// checkDevices looks for the nodes: systemd leaves out what is not one, and says so in
// its debug log alone.
func checkDevices(devices []Device) error {
	var errs []error
	for _, d := range devices {
		switch info, err := os.Stat(d.Path); {
		case errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("devices: there is no %s on this machine", d.Path))
		case err != nil:
			errs = append(errs, missing("devices", err))
		case info.Mode()&fs.ModeDevice == 0:
			errs = append(errs, fmt.Errorf("devices: %s is not a device node", d.Path))
		}
	}
	return errors.Join(errs...)
}

// checkEnvironmentFiles looks for the files, whose names may be patterns,
// systemd.exec(5).
func checkEnvironmentFiles(files []string) error {
	var errs []error
	for _, file := range files {
		path, optional := strings.CutPrefix(file, "-")
		switch _, err := os.Stat(path); {
		case optional || err == nil || errors.Is(err, fs.ErrPermission):
		case strings.ContainsAny(path, "*?[") && matches(path):
		default:
			errs = append(errs, fmt.Errorf("environment_files: %w (with a - before it, it may be absent)", err))
		}
	}
	return errors.Join(errs...)
}

func matches(pattern string) bool {
	files, err := filepath.Glob(pattern)
	return err == nil && len(files) > 0
}

// accountLimit is how long the machine's account databases may take to answer.
const accountLimit = 5 * time.Second

// noEntry is getent(1)'s exit code for a key that is not in the database.
const noEntry = 2

// checkAccount refuses a user or group of which nobody knows: neither the files
// of this machine nor, by getent, the other databases that it asks. A number is
// good enough for systemd, and so is a name where getent cannot tell.
func checkAccount(key, database, name string) error {
	if _, err := strconv.ParseUint(name, 10, 32); err == nil || name == "" {
		return nil
	}
	lookup := func() error { _, err := user.Lookup(name); return err }
	if database == "group" {
		lookup = func() error { _, err := user.LookupGroup(name); return err }
	}
	if lookup() == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), accountLimit)
	defer cancel()
	var exit *exec.ExitError
	err := exec.CommandContext(ctx, "getent", database, name).Run()
	if errors.As(err, &exit) && exit.ExitCode() == noEntry {
		return fmt.Errorf("%s: there is no %s %s on this machine", key, key, name)
	}
	return nil
}
