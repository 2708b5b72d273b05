package sensors

import (
	"os"
	"strings"
)

// BootID names the present boot of the machine, as random(4) says; "" if the
// kernel does not.
func BootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
