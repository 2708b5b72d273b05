package sensors

import (
	"context"
	"fmt"

	"github.com/shirou/gopsutil/v3/disk"

	"brainjar/internal/quantity"
)

// readDisk asks the file system that holds a path for its space (statfs(2)),
// which blocks for as long as a network file system does not answer.
func readDisk(ctx context.Context, path string) (Disk, error) {
	stat, err := disk.UsageWithContext(ctx, path)
	if err != nil {
		return Disk{}, fmt.Errorf("cannot read disk space of %s: %w", path, err)
	}
	return Disk{
		State:     OK,
		Path:      path,
		Total:     quantity.Bytes(stat.Total),
		Available: quantity.Bytes(stat.Free), // f_bavail
	}, nil
}

func diskSource(ctx context.Context, path string) *source {
	read := func() (Disk, error) { return readDisk(ctx, path) }
	return newSource("disk", read, func(r *Reading, d Disk, err error) {
		if err != nil {
			d = Disk{State: Failed, Path: path}
		}
		r.Disk = d
	})
}
