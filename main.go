// Brainjar supervises long experiments on one Linux box: it reads one TOML
// file, launches every experiment as a transient systemd unit with limits that
// hold, and decides what may start, when to retry, and how to stop.
//
// The map of the program: internal/config reads the file, supervisor decides,
// transient makes units of what it decided and learns how they ended, sensors
// says how hot and how full the machine is, and internal/cli puts them
// together, one file a command.
package main

import (
	"os"

	"brainjar/internal/cli"
	"brainjar/transient"
)

func main() {
	// systemd runs this binary inside every unit that ends, under the unit's
	// own limits, to record how it ended: nothing may come before this.
	if code, handled := transient.Hidden(os.Args[1:]); handled {
		os.Exit(code)
	}
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
