package transient

import (
	"fmt"
	"os"
	"strings"
)

// Whose returns the experiment in whose unit a process of this machine is, and false
// if it is in none, or has ended. It asks the kernel, and so also knows units that
// nobody manages at the moment.
func Whose(pid int) (experiment string, found bool) {
	groups, err := readCgroups()
	if err != nil {
		return "", false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", false
	}
	return experimentOf(groups.ownGroup(b))
}

// experimentOf finds the experiment in the path of a control group: the part that
// follows the slice, and the unit may have groups of its own below it.
func experimentOf(group string) (string, bool) {
	_, below, found := strings.Cut(group+"/", "/"+Slice+"/")
	unit, _, _ := strings.Cut(below, "/")
	name, ours := strings.CutPrefix(unit, Prefix)
	if !found || !ours {
		return "", false
	}
	for _, kind := range []Kind{Service, Scope} {
		if experiment, is := strings.CutSuffix(name, "."+string(kind)); is {
			return experiment, true
		}
	}
	return "", false
}
