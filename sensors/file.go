package sensors

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxValue is the longest content of a sysfs attribute that is taken for a
// value, in bytes. Values and labels are far shorter.
const maxValue = 256

// reader reads one sysfs attribute. It is readFile, but for tests of errors
// that no ordinary file gives.
type reader func(path string) ([]byte, error)

// readFile reads a sysfs attribute by one open and one read, as the driver
// answers. os.ReadFile must not be used: it opens without blocking and parks
// the goroutine on EAGAIN until the file becomes readable, which a gated
// sensor never does. Here EAGAIN is an error like any other. The call can
// block for as long as the driver does; the caller bounds the wait.
func readFile(path string) ([]byte, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	defer unix.Close(fd)
	value, err := readFD(fd)
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
