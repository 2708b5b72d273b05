package cli

import (
	"log/slog"

	"brainjar/sensors"
	"brainjar/supervisor"
)

// boardOf wires up the supervisor with the machine's GPUs and power modes. What the
// mode was before is kept in the state directory.
func boardOf(fs sensors.FS, state string, log *slog.Logger) supervisor.Board {
	b := supervisor.Board{GPUDevices: fs.GPUDevices, Unified: unified(fs)}
	if modes := newBoardMode(fs, state, log); modes != nil {
		b.PowerModes = modes
	}
	return b
}

// unified says whether the GPU shares the machine's memory.
func unified(fs sensors.FS) bool {
	board, _ := fs.Board() // what is not known is no Jetson; the sensors say what is wrong
	return board.Jetson()
}
