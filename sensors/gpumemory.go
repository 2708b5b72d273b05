package sensors

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"brainjar/internal/quantity"
)

// GPUMemory is the memory that GPUs use, process by process. On a Jetson it is
// memory of the machine that no control group and no RSS counts; nvmap, the driver
// that gives it out, tells root. For cards of NVIDIA nvidia-smi tells.
type GPUMemory struct {
	State   State                 `json:"state"`
	Used    Value[quantity.Bytes] `json:"used"`              // bytes, of all processes
	Clients []GPUClient           `json:"clients,omitempty"` // by PID
}

// GPUClient is one process that uses memory of a GPU.
type GPUClient struct {
	PID     int                   `json:"pid"` // 0: the kernel itself
	Process string                `json:"process,omitempty"`
	Used    Value[quantity.Bytes] `json:"used"` // bytes
}

// nvmapClients is the table of nvmap's users, in debugfs. The list of their single
// allocations beside it is huge and never read.
const nvmapClients = "sys/kernel/debug/nvmap/iovmm/clients"

// readNvmap reads how much memory each process has from nvmap. Machines that are
// no Jetson have none, and Thor's driver shows 0 for all: both are Absent.
func (fs FS) readNvmap() (GPUMemory, error) {
	soc := fs.soc()
	if !(Board{SoC: soc}).Jetson() {
		return GPUMemory{}, nil
	}
	table, err := fs.table()(fs.path(nvmapClients))
	if nothing(err) {
		return GPUMemory{}, nil
	}
	if err != nil {
		return GPUMemory{State: Failed}, err
	}
	memory, err := parseNvmap(table)
	if err != nil {
		return GPUMemory{State: Failed}, fmt.Errorf("cannot read %s: %w", fs.path(nvmapClients), err)
	}
	if soc == Thor && memory.Used.V == 0 {
		return GPUMemory{}, nil
	}
	return memory, nil
}

// parseNvmap reads the table of nvmap's clients: CLIENT PROCESS PID SIZE, and the
// total in the last row. The process's name may hold blanks, so a row is read from
// its end. A process with several rows uses their sum.
func parseNvmap(table []byte) (GPUMemory, error) {
	memory := GPUMemory{State: OK, Clients: []GPUClient{}}
	for line := range bytes.Lines(table) {
		fields := strings.Fields(string(line))
		n := len(fields)
		switch {
		case n == 0 || slices.Equal(fields, []string{"CLIENT", "PROCESS", "PID", "SIZE"}):
			continue
		case n < 2:
			return GPUMemory{}, fmt.Errorf("%q is no row of nvmap's clients", line)
		}
		size, err := parseKiB(fields[n-1])
		if err != nil {
			return GPUMemory{}, err
		}
		if n == 2 && fields[0] == "total" {
			memory.Used = known(size)
			continue
		}
		pid, err := strconv.ParseUint(fields[n-2], 10, 31)
		if err != nil || n < 3 {
			return GPUMemory{}, fmt.Errorf("%q is no row of nvmap's clients", line)
		}
		process := strings.Join(fields[1:n-2], " ")
		memory.add(GPUClient{int(pid), process, known(size)})
	}
	if memory.Used.State != OK {
		return GPUMemory{}, errors.New("no total among nvmap's clients")
	}
	memory.sort()
	return memory, nil
}

// add counts a row of a process.
func (m *GPUMemory) add(row GPUClient) {
	for i := range m.Clients {
		if c := &m.Clients[i]; c.PID == row.PID {
			c.Used = plus(c.Used, row.Used)
			return
		}
	}
	m.Clients = append(m.Clients, row)
}

// plus is the sum of two amounts, if both are known.
func plus(a, b Value[quantity.Bytes]) Value[quantity.Bytes] {
	if state := worse(a.State, b.State); state != OK {
		return Value[quantity.Bytes]{State: state}
	}
	return known(a.V + b.V)
}

// sort puts the processes in the order of their PIDs.
func (m *GPUMemory) sort() {
	slices.SortFunc(m.Clients, func(a, b GPUClient) int { return a.PID - b.PID })
}

// parseKiB reads a size such as "23525644K".
func parseKiB(text string) (quantity.Bytes, error) {
	digits, ok := strings.CutSuffix(text, "K")
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || n > math.MaxInt64>>20 {
		return 0, fmt.Errorf("%q is no size of nvmap", text)
	}
	return quantity.Bytes(n) * quantity.KiB, nil
}

func nvmapSource(fs FS) *source {
	return newSource("nvmap", fs.readNvmap, func(r *Reading, m GPUMemory, err error) {
		if err != nil {
			m = GPUMemory{State: Failed}
		}
		if m.State != Absent {
			r.GPUMemory = m
		}
	})
}

// emcSource is the clock of a Jetson's memory controller, which its power
// processor tells root through debugfs.
func emcSource(fs FS, read reader) *source {
	return newSource("emc",
		func() (Value[quantity.Hertz], error) {
			if !(Board{SoC: fs.soc()}).Jetson() {
				return Value[quantity.Hertz]{}, nil // nobody else has such a directory, and only root could say so
			}
			a := &attributes{read: read, dir: fs.path("sys/kernel/debug/bpmp/debug/clk/emc")}
			return a.clock("rate", 1), a.err
		},
		func(r *Reading, v Value[quantity.Hertz], err error) {
			if silent(err) {
				v = Value[quantity.Hertz]{State: Failed}
			}
			r.EMC = v
		})
}
