package config

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
)

// The kinds that belong to one key of an experiment, or to a few.
var (
	// swap is a size, or nil for no limit.
	swap = written("size", `a size like "8G"`, func(s string) (*quantity.Bytes, error) {
		if s == "infinity" {
			return nil, nil
		}
		b, err := quantity.ParseBytes(s)
		return &b, err
	})

	code = kind[int]{"exit code", "an exit code as a whole number", func(raw any) (int, error) {
		n, err := parseInteger(raw)
		if err == nil && (n < 0 || n > 255) {
			err = fmt.Errorf("%d is not an exit code (0 to 255)", n)
		}
		return n, err
	}}
	codes = listOf(code, "list of exit codes", "a list of exit codes like [0, 3]")

	signal = written("signal", `a signal like "SIGTERM"`, parseSignal)

	cpuList = written("CPU list", `a list of CPUs in a string, like "0-3,6"`, parseCPUs)

	device = written("device", `a device like "/dev/ttyUSB0 rw"`, parseDevice)

	logRate = written("rate", `a number of lines in a time, like "1000/30s"`, parseLogRate)

	// webAddress is checked when its placeholders are replaced.
	webAddress = kind[string]{"URL", `a URL like "http://127.0.0.1:8080/health"`, text.parse}

	tag = written("word", `a word like "llama"`, func(s string) (string, error) {
		if err := CheckID(s); err != nil {
			return "", fmt.Errorf("%q is not a tag: %w", s, err)
		}
		return s, nil
	})
)

var idForm = lazily(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// CheckID returns what is wrong with an experiment's id, nil if nothing is.
func CheckID(id string) error {
	if idForm().MatchString(id) {
		return nil
	}
	return fmt.Errorf("1 to 64 letters, digits, _, - and . are allowed, with a letter or digit first")
}

func parseSignal(s string) (syscall.Signal, error) {
	number := unix.SignalNum("SIG" + strings.TrimPrefix(s, "SIG"))
	switch number {
	case 0:
		return 0, fmt.Errorf("%q is not the name of a signal, such as \"SIGTERM\" or \"SIGUSR1\"", s)
	case syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
		return 0, fmt.Errorf("%s would only suspend it, for ever", s)
	}
	return number, nil
}

// maxCPU is the highest CPU number that a list may name.
const maxCPU = 8191

func parseCPUs(s string) ([]int, error) {
	wrong := fmt.Errorf("%q is not a list of CPUs: write it like \"0-3,6\"", s)
	var named [maxCPU + 1]bool
	for part := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.ParseUint(low, 10, 16)
		if err != nil {
			return nil, wrong
		}
		last := first
		if isRange {
			if last, err = strconv.ParseUint(high, 10, 16); err != nil || last < first {
				return nil, wrong
			}
		}
		if last > maxCPU {
			return nil, fmt.Errorf("there is no CPU %d", last)
		}
		for cpu := first; cpu <= last; cpu++ {
			named[cpu] = true
		}
	}
	var cpus []int
	for cpu, is := range named {
		if is {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

func parseDevice(s string) (Device, error) {
	path, access, _ := strings.Cut(s, " ")
	access = strings.TrimSpace(access)
	if access == "" {
		access = "rw"
	}
	if !strings.HasPrefix(path, "/dev/") || filepath.Clean(path) != path || strings.ContainsRune(path, 0) {
		return Device{}, fmt.Errorf("%q is not a device node: write it like \"/dev/ttyUSB0 rw\"", s)
	}
	for i, c := range access {
		if !strings.ContainsRune("rwm", c) || strings.ContainsRune(access[:i], c) {
			return Device{}, fmt.Errorf("%q is not an access: write r, w or rw after the device", access)
		}
	}
	return Device{Path: path, Access: access}, nil
}

func parseLogRate(s string) (LogRate, error) {
	count, interval, _ := strings.Cut(s, "/")
	n, err := strconv.ParseUint(count, 10, 32)
	if err != nil || n == 0 || n > math.MaxInt32 {
		return LogRate{}, fmt.Errorf("%q is not a rate: write it like \"1000/30s\"", s)
	}
	d, err := parseDuration(interval)
	if err != nil || d < time.Millisecond {
		return LogRate{}, fmt.Errorf("%q is not a rate: write it like \"1000/30s\"", s)
	}
	return LogRate{Burst: uint32(n), Interval: d}, nil
}
