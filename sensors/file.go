package sensors

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// maxValue is the longest content of a sysfs attribute that is taken for a
// value, in bytes. Values and labels are far shorter.
const maxValue = 256

// maxTable is the longest table that is read: one line a process or a step of a
// clock, in bytes.
const maxTable = 1 << 20

// reader reads one sysfs attribute. It is readFile, but for captured trees and
// tests of errors that no ordinary file gives.
type reader func(path string) ([]byte, error)

// reader returns how attributes of this machine are read.
func (fs FS) reader() reader {
	if fs == "" {
		return readFile
	}
	return readCaptured
}

// capturedErrors are the errors that a file of a captured tree can stand for.
var capturedErrors = map[string]error{
	"EACCES": unix.EACCES, "EAGAIN": unix.EAGAIN, "EBUSY": unix.EBUSY, "EIO": unix.EIO,
	"ENODATA": unix.ENODATA, "EOPNOTSUPP": unix.EOPNOTSUPP, "EPERM": unix.EPERM,
}

// readCaptured reads a file of a captured tree.
func readCaptured(path string) ([]byte, error) { return captured(readFile, path) }

// captured reads a file that may stand for an error.
func captured(read reader, path string) ([]byte, error) {
	value, err := read(path)
	if len(value) < maxValue {
		if err := capturedErrors[strings.TrimSpace(string(value))]; err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", path, err)
		}
	}
	return value, err
}

// table returns how files that are longer than an attribute are read.
func (fs FS) table() reader { return fs.tableOf(maxTable) }

// tableOf is table, for tables of so many bytes.
func (fs FS) tableOf(most int) reader {
	read := func(path string) ([]byte, error) { return readTable(path, most) }
	if fs == "" {
		return read
	}
	return func(path string) ([]byte, error) { return captured(read, path) }
}

// readFile reads a sysfs attribute by one open and one read, as the driver
// answers. os.ReadFile must not be used: it opens without blocking and parks
// the goroutine on EAGAIN until the file becomes readable, which a gated
// sensor never does. Here EAGAIN is an error like any other. The call can
// block for as long as the driver does; the caller bounds the wait.
func readFile(path string) ([]byte, error) {
	return openAnd(path, readFD)
}

// readTable reads a file that may be longer than an attribute, as readFile does,
// until its end.
func readTable(path string, most int) ([]byte, error) {
	return openAnd(path, func(fd int) ([]byte, error) {
		var content []byte
		buf := make([]byte, 4096)
		for len(content) <= most {
			n, err := retry(func() (int, error) { return unix.Read(fd, buf) })
			if err != nil || n == 0 {
				return content, err
			}
			content = append(content, buf[:n]...)
		}
		return nil, fmt.Errorf("more than %d bytes", most)
	})
}

// openAnd opens a file and reads it.
func openAnd(path string, read func(fd int) ([]byte, error)) ([]byte, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	defer unix.Close(fd)
	value, err := read(fd)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return value, nil
}

// readFD reads what one read of a descriptor gives.
func readFD(fd int) ([]byte, error) {
	buf := make([]byte, maxValue)
	n, err := retry(func() (int, error) { return unix.Read(fd, buf) })
	if err != nil {
		return nil, err
	}
	if n == len(buf) {
		return nil, fmt.Errorf("more than %d bytes, which is no sensor's value", maxValue-1)
	}
	return buf[:n], nil
}

// retry makes a system call again when a signal interrupted it: the Go
// runtime sends signals to its own threads.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
