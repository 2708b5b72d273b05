package sensors

import (
	"context"
	"fmt"

	"github.com/shirou/gopsutil/v3/mem"

	"brainjar/internal/quantity"
)

// memory reads /proc/meminfo.
func (fs FS) memory(ctx context.Context) (Memory, error) {
	stat, err := mem.VirtualMemoryWithContext(fs.gopsutil(ctx))
	if err != nil {
		return Memory{}, fmt.Errorf("cannot read memory: %w", err)
	}
	// gopsutil swallows the error of reading the file, and puts free and
	// cached memory in the place of a missing MemAvailable. MemFree is never 0
	// on a machine that runs; MemAvailable can be.
	if stat.Total == 0 || stat.Available > stat.Total || stat.Free == 0 && stat.Available == 0 {
		return Memory{}, fmt.Errorf("cannot read memory: no sensible MemTotal and MemAvailable in %s", fs.path("proc/meminfo"))
	}
	return Memory{
		State:     OK,
		Total:     quantity.Bytes(stat.Total),
		Available: quantity.Bytes(stat.Available),
		SwapTotal: quantity.Bytes(stat.SwapTotal),
		SwapFree:  quantity.Bytes(stat.SwapFree),
	}, nil
}

func memorySource(ctx context.Context, fs FS) *source {
	read := func() (Memory, error) { return fs.memory(ctx) }
	return newSource("memory", read, func(r *Reading, m Memory, err error) {
		if err != nil {
			m = Memory{State: Failed}
		}
		r.Memory = m
	})
}

// MemTotal returns how much memory the running machine has.
func MemTotal() (quantity.Bytes, error) {
	m, err := FS("").memory(context.Background())
	return m.Total, err
}
