package transient

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	sddbus "github.com/coreos/go-systemd/v22/dbus"
)

func TestLiveLimits(t *testing.T) {
	props, _, err := liveLimits(Limits{MemoryMax: 1 << 30}, debian12, false)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"MemoryMax": uint64(1 << 30), "MemoryHigh": infinity, "MemorySwapMax": infinity, "CPUQuotaPerSecUSec": infinity,
		"CPUWeight": uint64(100), "AllowedCPUs": []byte{}, "IOWeight": uint64(100), "TasksMax": infinity,
	}
	got := map[string]any{}
	for _, p := range props {
		got[p.Name] = p.Value.Value()
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if props, _, err := liveLimits(Limits{CPUs: []int{1}}, jetpack5, false); err == nil {
		t.Errorf("cpus on v1: %v", names(props))
	}
	if props, warnings, err := liveLimits(Limits{CPUs: []int{1}}, jetpack5, true); err != nil || len(warnings) != 1 || sent(props, "AllowedCPUs") != nil {
		t.Errorf("cpus on v1, allowed: %v, %q, %v", names(props), warnings, err)
	}
}

func TestAllowUnenforced(t *testing.T) {
	spec := fullSpec()
	spec.Limits.Implied, spec.AllowUnenforced = nil, true
	props, warnings, err := properties(spec, jetpack5, recorder)
	if err != nil {
		t.Fatal(err)
	}
	if sent(props, "AllowedCPUs") != nil || !slices.ContainsFunc(warnings, func(w string) bool { return strings.HasPrefix(w, "cpus is not enforced") }) {
		t.Errorf("properties %v, warnings %q", names(props), warnings)
	}
}

// TestDeviceAllowBeginsEmpty: the property appends.
func TestDeviceAllowBeginsEmpty(t *testing.T) {
	props, _, err := properties(fullSpec(), debian12, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := slices.IndexFunc(props, func(p sddbus.Property) bool { return p.Name == "DeviceAllow" })
	if rules := props[first].Value.Value().([]deviceRule); len(rules) != 0 {
		t.Errorf("the first DeviceAllow is %v", rules)
	}
}
