package sensors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"brainjar/internal/quantity"
)

// Cards of NVIDIA are asked through nvidia-smi: their library cannot be loaded into
// a static program. On a Jetson it answers N/A to everything and is not run.
const (
	nvidiaSMI     = "nvidia-smi"
	nvidiaEvery   = 4 * time.Second  // each run costs tenths of a second of CPU
	nvidiaLimit   = 10 * time.Second // a driver that is loaded for each run takes seconds
	nvidiaKeep    = nvidiaLimit + 5*time.Second
	nvidiaGPUs    = "--query-gpu=index,name,temperature.gpu,utilization.gpu,memory.used,memory.total,power.draw"
	nvidiaApps    = "--query-compute-apps=pid,used_memory"
	nvidiaFormat  = "--format=csv,noheader,nounits"
	nvidiaFields  = 7
	nvidiaMiB     = float64(quantity.MiB)
	mostNvidiaMiB = 1 << 30
	nvidiaZone    = "nvidia-gpu"
)

// nvidiaSources are all cards of NVIDIA, and the processes that compute on them.
// Their last answer counts while the next is made.
func nvidiaSources(ctx context.Context, fs FS) []*source {
	var cards []GPU
	gpus := &source{
		name: "nvidia",
		read: func() (func(), error) {
			table, err := fs.askNvidia(ctx, nvidiaGPUs)
			now, errParse := parseNvidiaGPUs(table)
			if err == nil {
				err = errParse
			}
			return func() {
				if err == nil {
					cards = now
				}
			}, err
		},
		report: func(r *Reading, err error) {
			r.EverHadZone = r.EverHadZone || err != nil // each card has a thermometer
			for _, g := range cards {
				zone := Zone{Type: nvidiaZone, Path: g.Path, State: g.Temperature.State, Temperature: g.Temperature.V}
				if err != nil {
					g, zone = g.failed(), zone.failed(err)
				}
				r.GPUs, r.Zones = append(r.GPUs, g), append(r.Zones, zone)
			}
		},
	}
	apps := newSource("nvidia processes",
		func() (GPUMemory, error) {
			table, err := fs.askNvidia(ctx, nvidiaApps)
			if err != nil || table == nil {
				return GPUMemory{}, err
			}
			return parseNvidiaApps(table)
		},
		func(r *Reading, m GPUMemory, err error) {
			if err != nil {
				m = GPUMemory{State: Failed}
			}
			if m.State != Absent {
				r.GPUMemory = m
			}
		})
	for _, s := range []*source{gpus, apps} {
		s.every, s.keep = nvidiaEvery, nvidiaKeep
	}
	return []*source{gpus, apps}
}

// askNvidia runs nvidia-smi where a driver is loaded that it can speak to; else the
// answer is nil.
func (fs FS) askNvidia(ctx context.Context, query string) ([]byte, error) {
	_, err := os.Stat(fs.path("proc/driver/nvidia/version"))
	if errors.Is(err, os.ErrNotExist) || (Board{SoC: fs.soc()}).Jetson() {
		return nil, nil
	}
	program, err := fs.program(nvidiaSMI)
	if errors.Is(err, errNoProgram) {
		return nil, nil
	}
	return run(ctx, nvidiaCards, nvidiaLimit, program, query, nvidiaFormat)
}

// parseNvidiaGPUs reads the table of GPUs: °C, percent, MiB, W. A name may hold a
// comma, so a row is read from both ends.
func parseNvidiaGPUs(table []byte) ([]GPU, error) {
	var gpus []GPU
	for line := range bytes.Lines(table) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		fields := strings.Split(strings.TrimSpace(string(line)), ",")
		values := len(fields) - nvidiaFields + 2 // where they begin, behind the name
		index, err := strconv.ParseUint(fields[0], 10, 16)
		if values < 2 || err != nil {
			return nil, fmt.Errorf("cannot read the answer of nvidia-smi: %q is no row of GPUs", line)
		}
		f := nvidiaRow{fields: fields[values:]}
		g := GPU{
			Name: strings.TrimSpace(strings.Join(fields[1:values], ",")),
			Path: "nvidia" + strconv.FormatUint(index, 10),
		}
		g.Temperature = nvidiaValue(&f, 1, float64(coldest), float64(hottest), func(v float64) quantity.Celsius { return quantity.Celsius(v) })
		g.Load = nvidiaValue(&f, 1, 0, 100, func(v float64) quantity.Percent { return quantity.Percent(v) })
		g.MemoryUsed = nvidiaValue(&f, nvidiaMiB, 0, mostNvidiaMiB, func(v float64) quantity.Bytes { return quantity.Bytes(v) })
		g.MemoryTotal = nvidiaValue(&f, nvidiaMiB, 0, mostNvidiaMiB, func(v float64) quantity.Bytes { return quantity.Bytes(v) })
		g.Power = nvidiaValue(&f, 1000, 0, mostMicrowatts/1e6, func(v float64) quantity.Milliwatts { return quantity.Milliwatts(math.Round(v)) })
		if f.err != nil {
			return nil, f.err
		}
		gpus = append(gpus, g)
	}
	return gpus, nil
}

// nvidiaRow is the rest of a row that is read field by field.
type nvidiaRow struct {
	fields []string
	err    error
}

// nvidiaValue reads the next field, a number of so many units between two bounds.
// "[N/A]" and its like are Absent.
func nvidiaValue[T any](row *nvidiaRow, unit, least, most float64, convert func(float64) T) Value[T] {
	field := strings.TrimSpace(row.fields[0])
	row.fields = row.fields[1:]
	if strings.HasPrefix(field, "[") || field == "N/A" {
		return Value[T]{}
	}
	number, err := strconv.ParseFloat(field, 64)
	if err != nil || !(number >= least && number <= most) {
		row.err = fmt.Errorf("cannot read the answer of nvidia-smi: %q is no value of a GPU", field)
		return Value[T]{}
	}
	return known(convert(number * unit))
}

// parseNvidiaApps reads the table of processes that compute, in MiB. Where that of
// one is not known, neither is that of all.
func parseNvidiaApps(table []byte) (GPUMemory, error) {
	memory := GPUMemory{State: OK, Used: known[quantity.Bytes](0)}
	for line := range bytes.Lines(table) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		first, rest, found := strings.Cut(strings.TrimSpace(string(line)), ",")
		pid, err := strconv.ParseUint(first, 10, 31)
		row := nvidiaRow{fields: []string{rest}}
		used := nvidiaValue(&row, nvidiaMiB, 0, mostNvidiaMiB, func(v float64) quantity.Bytes { return quantity.Bytes(v) })
		if !found || err != nil || row.err != nil {
			return GPUMemory{}, fmt.Errorf("cannot read the answer of nvidia-smi: %q is no row of processes", line)
		}
		memory.add(GPUClient{PID: int(pid), Used: used})
		memory.Used = plus(memory.Used, used)
	}
	memory.sort()
	return memory, nil
}
