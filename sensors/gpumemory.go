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

// mostNvmap is how much of it is read, in bytes. A program that opens the driver as
// often as systemd lets it open files has half a million rows.
const mostNvmap = 32 << 20

// readNvmap reads how much memory each process has from nvmap. Machines that are
// no Jetson have none, and Thor's driver shows 0 for all: both are Absent.
func (fs FS) readNvmap() (GPUMemory, error) {
	soc := fs.soc()
	if !(Board{SoC: soc}).Jetson() {
		return GPUMemory{}, nil
	}
	table, err := fs.tableOf(mostNvmap)(fs.path(nvmapClients))
	if nothing(err) {
		return GPUMemory{}, nil
	}
	if err != nil {
		return GPUMemory{State: Failed}, err
	}
	memory, err := parseNvmap(table)
	if err != nil {
		err = fmt.Errorf("cannot read %s: %w", fs.path(nvmapClients), err)
	}
	if soc == Thor && memory.Used == known[quantity.Bytes](0) {
		return GPUMemory{}, err
	}
	return memory, err
}

// nvmapWidth is how wide nvmap makes a row of its table ("%-18s %18s %8u %10lluK").
const nvmapWidth = 18 + 1 + 18 + 1 + 8 + 1 + 10 + 1

// nvmapRow takes the next row off a table. A program can give itself a name that holds
// line ends. Such a row is one of several lines, of that width all the same, and no line
// of it is a row: else a program could spoil the table, or put rows of others into it.
func nvmapRow(table []byte) (row, rest []byte) {
	if len(table) > nvmapWidth && table[nvmapWidth] == '\n' {
		return table[:nvmapWidth], table[nvmapWidth+1:]
	}
	row, rest, _ = bytes.Cut(table, []byte("\n"))
	return row, rest
}

// parseNvmap reads the table of nvmap's clients: CLIENT PROCESS PID SIZE, and the
// total in the last row. A process with several rows uses their sum. What is no row is
// left out; that is an error, with which the rest is returned.
func parseNvmap(table []byte) (GPUMemory, error) {
	memory := GPUMemory{State: OK, Used: Value[quantity.Bytes]{State: Failed}, Clients: []GPUClient{}}
	var wrong faults
	for len(table) > 0 {
		var row []byte
		row, table = nvmapRow(table)
		fields := strings.Fields(string(row))
		switch {
		case len(fields) == 0 || slices.Equal(fields, []string{"CLIENT", "PROCESS", "PID", "SIZE"}):
		case len(fields) == 2 && fields[0] == "total" && len(bytes.TrimSpace(table)) == 0:
			total, err := parseKiB(fields[1])
			if err == nil {
				memory.Used = known(total)
			}
			wrong.add(err)
		default:
			client, err := parseNvmapClient(fields)
			if err == nil {
				memory.add(client)
			}
			wrong.add(err)
		}
	}
	if wrong.first == nil && memory.Used.State != OK {
		wrong.add(errors.New("no total among nvmap's clients"))
	}
	memory.sort()
	return memory, wrong.err()
}

// parseNvmapClient reads a row from its end, for the name of a process may hold blanks.
func parseNvmapClient(fields []string) (GPUClient, error) {
	n := len(fields)
	size, err := parseKiB(fields[n-1])
	if err != nil {
		return GPUClient{}, err
	}
	pid, err := strconv.ParseUint(fields[max(0, n-2)], 10, 31)
	if err != nil {
		return GPUClient{}, fmt.Errorf("%q is no row of nvmap's clients", firstLine([]byte(strings.Join(fields, " "))))
	}
	process := strings.Join(fields[min(1, n-2):n-2], " ")
	return GPUClient{int(pid), process, known(size)}, nil
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
		return 0, fmt.Errorf("%q is no size of nvmap", firstLine([]byte(text)))
	}
	return quantity.Bytes(n) * quantity.KiB, nil
}

func nvmapSource(fs FS) *source { return newSource("nvmap", fs.readNvmap, putGPUMemory) }

// putGPUMemory puts what was read of the memory of GPUs into a reading: also beside an
// error, which may be of one process.
func putGPUMemory(r *Reading, m GPUMemory, err error) {
	if silent(err) || err != nil && len(m.Clients) == 0 {
		m = GPUMemory{State: Failed}
	}
	if m.State != Absent {
		r.GPUMemory = m
	}
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
