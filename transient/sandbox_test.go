package transient

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestDynamicUser(t *testing.T) {
	spec := fullSpec()
	spec.User, spec.Group, spec.WorkingDirectory, spec.DynamicUser = "", "", "", true
	props, _, err := properties(spec, debian12, recorder)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"DynamicUser": "true", "StateDirectory": "[brainjar-amnesiac_001]", "WorkingDirectory": "/var/lib/brainjar-amnesiac_001",
		"User": "<nil>", "ReadWritePaths": "[/srv/out]",
	} {
		if got := fmt.Sprint(sent(props, name)); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
}

// TestSharedTmp: what is needed from /tmp is not hidden by a private one.
func TestSharedTmp(t *testing.T) {
	spec := fullSpec()
	spec.WorkingDirectory = "/tmp/lab"
	props, warnings, err := properties(spec, debian12, recorder)
	if err != nil {
		t.Fatal(err)
	}
	if sent(props, "PrivateTmp") != false || len(warnings) != 1 || !strings.Contains(warnings[0], "/tmp/lab") {
		t.Errorf("PrivateTmp = %v, warnings %q", sent(props, "PrivateTmp"), warnings)
	}
	if paths := sent(props, "ReadWritePaths").([]string); !slices.Contains(paths, "/var/tmp") {
		t.Errorf("ReadWritePaths = %q", paths)
	}
}

// TestStrictWithoutGPU: nothing may make code but what needs a GPU.
func TestStrictWithoutGPU(t *testing.T) {
	for _, gpu := range []bool{true, false} {
		spec := fullSpec()
		spec.GPU = gpu
		props, _, err := properties(spec, debian12, recorder)
		if err != nil {
			t.Fatal(err)
		}
		if got := sent(props, "MemoryDenyWriteExecute") != nil; got == gpu {
			t.Errorf("gpu %v: MemoryDenyWriteExecute %v", gpu, got)
		}
	}
}
