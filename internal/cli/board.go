package cli

import (
	"brainjar/sensors"
	"brainjar/supervisor"
)

// boardOf wires up the supervisor with the machine's GPUs.
func boardOf(fs sensors.FS) supervisor.Board {
	board, _ := fs.Board() // what is not known is no Jetson; the sensors say what is wrong
	return supervisor.Board{GPUDevices: fs.GPUDevices, Unified: board.Jetson()}
}
