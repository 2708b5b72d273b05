package cli

import (
	"brainjar/sensors"
	"brainjar/supervisor"
)

// boardOf wires up the supervisor with the machine's GPUs.
func boardOf(fs sensors.FS) supervisor.Board {
	return supervisor.Board{GPUDevices: fs.GPUDevices}
}
