package transient

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Shed gives the pages of this program's own file back that are in its memory: most
// were needed by its beginning alone, or came because the kernel maps the neighbours
// of a page that is read. What is needed again is mapped again, from the page cache.
// Only mappings that cannot have been written to are touched: code and constants.
func Shed() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("cannot find this program: %w", err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("cannot read what is mapped: %w", err)
	}
	for line := range strings.Lines(string(maps)) {
		from, to, ok := readOnlyMapping(line, program)
		if !ok {
			continue
		}
		_, _, errno := syscall.Syscall(syscall.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		if errno != 0 {
			return fmt.Errorf("cannot give pages back: %w", errno)
		}
	}
	return nil
}

// readOnlyMapping reads a line of /proc/self/maps, proc(5): the range of addresses of a
// mapping of that file which nobody may write to.
func readOnlyMapping(line, file string) (from, to uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || fields[1] != "r-xp" && fields[1] != "r--p" || strings.Join(fields[5:], " ") != file {
		return 0, 0, false
	}
	first, last, _ := strings.Cut(fields[0], "-")
	a, errA := strconv.ParseUint(first, 16, 64)
	b, errB := strconv.ParseUint(last, 16, 64)
	return uintptr(a), uintptr(b), errA == nil && errB == nil && a < b
}
