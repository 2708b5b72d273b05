package sensors

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
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

// nvidiaCard is a card, and what is wrong with what it tells.
type nvidiaCard struct {
	GPU
	index uint64
	err   error // the first thing; nil: all is well
}

// failed is the card when it does not answer.
func (c nvidiaCard) failed(err error) nvidiaCard {
	return nvidiaCard{c.GPU.failed(), c.index, err}
}

// nvidiaSources are all cards of NVIDIA, and the processes that compute on them.
// Their last answer counts while the next is made.
func nvidiaSources(ctx context.Context, fs FS) []*source {
	var cards []nvidiaCard
	gpus := &source{
		name: "nvidia",
		read: func() (func(), error) {
			now, err := askNvidia(ctx, fs, nvidiaGPUs, parseNvidiaGPUs)
			return func() { cards = keepCards(cards, now, err) }, err
		},
		report: func(r *Reading, err error) {
			r.EverHadZone = r.EverHadZone || err != nil // each card has a thermometer
			for _, c := range cards {
				if silent(err) {
					c = c.failed(err)
				}
				zone := Zone{Type: nvidiaZone, Path: c.Path, State: c.Temperature.State, Temperature: c.Temperature.V}
				if zone.State == Failed {
					zone.Err = c.err
				}
				r.GPUs, r.Zones = append(r.GPUs, c.GPU), append(r.Zones, zone)
			}
		},
	}
	apps := newSource("nvidia processes",
		func() (GPUMemory, error) {
			memory, err := askNvidia(ctx, fs, nvidiaApps, parseNvidiaApps)
			if err != nil {
				memory.Used = Value[quantity.Bytes]{State: Failed} // there may be more processes
			}
			return memory, err
		}, putGPUMemory)
	for _, s := range []*source{gpus, apps} {
		s.every, s.keep = nvidiaEvery, nvidiaKeep
	}
	return []*source{gpus, apps}
}

// keepCards are the cards that were read now. One that was there before, and is not
// among them while something went wrong, is there all the same.
func keepCards(known, now []nvidiaCard, err error) []nvidiaCard {
	if err == nil {
		return now
	}
	for _, c := range known {
		if !slices.ContainsFunc(now, func(other nvidiaCard) bool { return other.index == c.index }) {
			now = append(now, c.failed(err))
		}
	}
	slices.SortFunc(now, func(a, b nvidiaCard) int { return cmp.Compare(a.index, b.index) })
	return now
}

// askNvidia runs nvidia-smi where a driver is loaded that it can speak to; else the
// answer is the zero value. What it tells is used although it fails, as it does for one
// card that is ill.
func askNvidia[T any](ctx context.Context, fs FS, query string, parse func(table []byte) (T, error)) (answer T, err error) {
	_, err = os.Stat(fs.path("proc/driver/nvidia/version"))
	if errors.Is(err, os.ErrNotExist) || (Board{SoC: fs.soc()}).Jetson() {
		return answer, nil
	}
	program, err := fs.program(nvidiaSMI)
	if errors.Is(err, errNoProgram) {
		return answer, nil
	}
	table, _, err := run(ctx, nvidiaCards, nvidiaLimit, program, query, nvidiaFormat)
	answer, errTable := parse(table)
	if errTable != nil {
		errTable = fmt.Errorf("cannot read the answer of nvidia-smi: %w", errTable)
	}
	if err != nil && errTable != nil {
		return answer, fmt.Errorf("%w; %w", err, errTable)
	}
	return answer, cmp.Or(err, errTable)
}

// parseNvidiaGPUs reads the table of GPUs: °C, percent, MiB, W. A name may hold a
// comma, so a row is read from both ends. What is wrong with a field makes it Failed, a
// row that is cut short all of its card, and one that begins with no number is no card:
// each is an error, with which the rest is returned.
func parseNvidiaGPUs(table []byte) ([]nvidiaCard, error) {
	var cards []nvidiaCard
	var wrong faults
	for line := range bytes.Lines(table) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		fields := strings.Split(string(line), ",")
		index, err := strconv.ParseUint(fields[0], 10, 16)
		if err != nil || len(fields) < 2 {
			wrong.add(fmt.Errorf("%q is no row of GPUs", firstLine(line)))
			continue
		}
		path := "nvidia" + strconv.FormatUint(index, 10)
		c := nvidiaCard{GPU: GPU{Name: path, Path: path}, index: index}
		var f nvidiaRow
		if values := len(fields) - nvidiaFields + 2; values >= 2 { // where they begin, behind the name
			c.Name, f.fields = strings.TrimSpace(strings.Join(fields[1:values], ",")), fields[values:]
		} else {
			f.err = fmt.Errorf("%q is not all of a row", firstLine(line))
		}
		c.Temperature = nvidiaValue(&f, 1, float64(coldest), float64(hottest), func(v float64) quantity.Celsius { return quantity.Celsius(v) })
		c.Load = nvidiaValue(&f, 1, 0, 100, func(v float64) quantity.Percent { return quantity.Percent(v) })
		c.MemoryUsed = nvidiaValue(&f, nvidiaMiB, 0, mostNvidiaMiB, func(v float64) quantity.Bytes { return quantity.Bytes(v) })
		c.MemoryTotal = nvidiaValue(&f, nvidiaMiB, 0, mostNvidiaMiB, func(v float64) quantity.Bytes { return quantity.Bytes(v) })
		c.Power = nvidiaValue(&f, 1000, 0, mostMicrowatts/1e6, func(v float64) quantity.Milliwatts { return quantity.Milliwatts(math.Round(v)) })
		if f.err != nil {
			c.err = fmt.Errorf("%s: %w", path, f.err)
			wrong.add(c.err)
		}
		cards = append(cards, c)
	}
	return cards, wrong.err()
}

// nvidiaRow is the rest of a row that is read field by field.
type nvidiaRow struct {
	fields []string
	err    error // the first that went wrong
}

// nvidiaAbsent are the words for what a card cannot tell. Others, such as ERR! and
// [Unknown Error], say that it should.
var nvidiaAbsent = []string{"N/A", "[N/A]", "[Not Supported]", "[Not Found]"}

// nvidiaValue reads the next field, a number of so many units between two bounds.
func nvidiaValue[T any](row *nvidiaRow, unit, least, most float64, convert func(float64) T) Value[T] {
	if len(row.fields) == 0 {
		return Value[T]{State: Failed}
	}
	field := strings.TrimSpace(row.fields[0])
	row.fields = row.fields[1:]
	if slices.Contains(nvidiaAbsent, field) {
		return Value[T]{}
	}
	number, err := strconv.ParseFloat(field, 64)
	if err != nil || !(number >= least && number <= most) {
		if row.err == nil {
			row.err = fmt.Errorf("%q is no value of a GPU", firstLine([]byte(field)))
		}
		return Value[T]{State: Failed}
	}
	return known(convert(number * unit))
}

// parseNvidiaApps reads the table of processes that compute, in MiB. Where that of
// one is not known, neither is that of all. A row without a PID is left out; that is an
// error, with which the rest is returned.
func parseNvidiaApps(table []byte) (GPUMemory, error) {
	memory := GPUMemory{State: OK, Used: known[quantity.Bytes](0)}
	var wrong faults
	for line := range bytes.Lines(table) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		first, rest, found := strings.Cut(string(line), ",")
		pid, err := strconv.ParseUint(first, 10, 31)
		if !found || err != nil {
			wrong.add(fmt.Errorf("%q is no row of processes", firstLine(line)))
			continue
		}
		row := nvidiaRow{fields: []string{rest}}
		used := nvidiaValue(&row, nvidiaMiB, 0, mostNvidiaMiB, func(v float64) quantity.Bytes { return quantity.Bytes(v) })
		wrong.add(row.err)
		memory.add(GPUClient{PID: int(pid), Used: used})
		memory.Used = plus(memory.Used, used)
	}
	memory.sort()
	return memory, wrong.err()
}
