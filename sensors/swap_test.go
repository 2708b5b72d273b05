package sensors

import (
	"slices"
	"testing"

	"brainjar/sensors/sensorstest"
)

func TestSwaps(t *testing.T) {
	tree := "[proc]\nswaps = <<\nFilename\t\t\t\tType\t\tSize\tUsed\tPriority\n/dev/zram0                              partition\t652056\t0\t5\n/swap\\040file\tfile 1 0 -2\n>>\n"
	got, err := FS(sensorstest.Tree(t, tree)).Swaps()
	if err != nil || !slices.Equal(got, []string{"/dev/zram0", `/swap\040file`}) {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := FS(t.TempDir()).Swaps(); got != nil || err != nil {
		t.Errorf("no swap: %q, %v", got, err)
	}
	if got, err := FS(sensorstest.Tree(t, "[proc]\nswaps = EIO")).Swaps(); err == nil {
		t.Errorf("%q", got)
	}
}
