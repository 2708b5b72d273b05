// Package sensors is what the machine feels: how hot its zones are, how much
// memory is left, how busy the CPUs are, how full the disk is. All knowledge
// of sysfs and procfs sensors, of gopsutil and of Jetson boards lives here.
//
// A Sampler asks every source (each thermal zone is one) in each interval,
// with a time limit. A source that fails or hangs is reported with its error;
// it is never taken for 0, and it never holds up the others.
//
// The package must not know what a value means for experiments: no threshold,
// no policy, no unit. It imports nothing of brainjar but internal/quantity.
package sensors

import "path/filepath"

// FS is the directory that holds the machine's proc, sys, dev and etc. The empty
// FS is the running machine's own root. Any other is the captured tree of a
// machine, in which a file that holds the name of an error, such as EAGAIN, stands
// for one whose read fails with it.
type FS string

// path returns where a file of this machine is, such as "sys/class/thermal".
func (fs FS) path(elem ...string) string {
	root := string(fs)
	if root == "" {
		root = "/"
	}
	return filepath.Join(append([]string{root}, elem...)...)
}
