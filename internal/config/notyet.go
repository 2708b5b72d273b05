package config

import "fmt"

// notYet are the keys that are read and checked, but whose behaviour this
// version does not have: a line leaves this table when the behaviour comes.
// A key counts when somebody wrote it with that value, or with any if the
// value is empty.
var notYet = []struct{ key, value, words string }{
	{"power_mode", "", "power modes are not set yet"},
}

// reportNotYet reports what was written of the table above.
func reportNotYet(m marks, r *report) {
	for _, n := range notYet {
		mark, written := m.keys[n.key]
		if written && (n.value == "" || fmt.Sprint(mark.value) == n.value) {
			r.add(mark.at, "", "not yet: %s", n.words)
		}
	}
}
