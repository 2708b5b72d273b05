package sensors

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
	"brainjar/sensors/sensorstest"
)

func TestTemperature(t *testing.T) {
	for _, test := range []struct {
		name    string
		value   string
		err     error
		state   State
		celsius quantity.Celsius
	}{
		{name: "plain", value: "41656\n", state: OK, celsius: 41.656},
		{name: "no line end", value: "41656", state: OK, celsius: 41.656},
		{name: "zero is a temperature", value: "0\n", state: OK},
		{name: "frost", value: "-12500\n", state: OK, celsius: -12.5},
		{name: "gated, JetPack 5", value: "-256000\n", state: Absent},
		{name: "gated, JetPack 6", err: unix.EAGAIN, state: Absent},
		{name: "kernel's own mark", value: "-274000\n", state: Absent},
		{name: "below the coldest", value: "-100001\n", state: Failed},
		{name: "above the hottest", value: "250001\n", state: Failed},
		{name: "empty", value: "", state: Failed},
		{name: "blank", value: "\n", state: Failed},
		{name: "words", value: "N/A\n", state: Failed},
		{name: "two numbers", value: "41000 42000\n", state: Failed},
		{name: "a fraction", value: "41.5\n", state: Failed},
		{name: "too many digits", value: "99999999999999999999\n", state: Failed},
		{name: "broken bus", err: unix.EIO, state: Failed},
		{name: "no data", err: unix.ENODATA, state: Failed},
	} {
		state, celsius, err := temperature([]byte(test.value), test.err)
		if state != test.state || celsius != test.celsius {
			t.Errorf("%s: got %v %v, want %v %v", test.name, state, celsius, test.state, test.celsius)
		}
		if (err != nil) != (test.state == Failed) {
			t.Errorf("%s: state %v comes with error %v", test.name, state, err)
		}
		if test.err != nil && err != nil && !errors.Is(err, test.err) {
			t.Errorf("%s: error %v hides %v", test.name, err, test.err)
		}
	}
}

// A gated sensor of JetPack 6 answers as an empty pipe does that is read
// without blocking: with EAGAIN, at once. os.File would wait.
func TestReadFDReturnsEAGAIN(t *testing.T) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	state, _, err := temperature(readFD(pipe[0]))
	if state != Absent || err != nil {
		t.Errorf("got %v, %v; want absent without an error", state, err)
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if value, err := readFile(write("temp", "41656\n")); string(value) != "41656\n" || err != nil {
		t.Errorf("got %q, %v", value, err)
	}
	if _, err := readFile(write("long", string(make([]byte, maxValue)))); err == nil {
		t.Errorf("%d bytes were taken for a sensor's value", maxValue)
	}
	if _, err := readFile(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want an error that says that the file does not exist", err)
	}
	if _, err := readFile(dir); !errors.Is(err, unix.EISDIR) {
		t.Errorf("got %v, want EISDIR", err)
	}
}

func TestTripsAreFoundByType(t *testing.T) {
	root := sensorstest.Board(t, "agx-orin-jp5")
	zone, err := readZone(readFile, Zone{Path: filepath.Join(root, "sys/class/thermal/thermal_zone8")})
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string]Trip{
		"critical": {"critical", 104.5, 0},
		"passive":  {"passive", 99, 0},
		"active":   {"active", 70, 8},
	} {
		if got, ok := zone.Trip(kind); !ok || got != want {
			t.Errorf("trip %s: got %v %v, want %v", kind, got, ok, want)
		}
	}
	if trip, ok := zone.Trip("hot"); ok {
		t.Errorf("found %v, which the zone has not", trip)
	}
}

func TestParseTrip(t *testing.T) {
	for _, test := range []struct {
		kind, temp, hyst string
		want             Trip
		ok               bool
	}{
		{"critical\n", "104500\n", "0\n", Trip{"critical", 104.5, 0}, true},
		{"active\n", "70000\n", "8000\n", Trip{"active", 70, 8}, true},
		{"passive\n", "0\n", "0\n", Trip{}, false},
		{"passive\n", "-274000\n", "0\n", Trip{}, false},
		{"passive\n", "99000\n", "-1\n", Trip{}, false},
		{"\n", "99000\n", "0\n", Trip{}, false},
		{"passive\n", "hot\n", "0\n", Trip{}, false},
		{"passive\n", "99000\n", "\n", Trip{}, false},
	} {
		got, err := parseTrip([]byte(test.kind), []byte(test.temp), []byte(test.hyst))
		if (err == nil) != test.ok || test.ok && got != test.want {
			t.Errorf("%q %q %q: got %v, %v", test.kind, test.temp, test.hyst, got, err)
		}
	}
}

// The trips of a zone are read when it appears, and again when its directory
// has become that of another zone, but not each time.
func TestTripsAreReadOnce(t *testing.T) {
	reads := 0
	files := map[string]string{"type": "cpu", "temp": "40000", "trip_point_0_type": "passive", "trip_point_0_temp": "90000"}
	read := func(path string) ([]byte, error) {
		name := filepath.Base(path)
		if name == "trip_point_0_temp" {
			reads++
		}
		if value, ok := files[name]; ok {
			return []byte(value), nil
		}
		return nil, os.ErrNotExist
	}
	zone := Zone{Path: "thermal_zone0"}
	for range 3 {
		var err error
		if zone, err = readZone(read, zone); err != nil {
			t.Fatal(err)
		}
	}
	if want := []Trip{{"passive", 90, 0}}; reads != 1 || !slices.Equal(zone.Trips, want) {
		t.Errorf("read %d times, got %v, want once and %v", reads, zone.Trips, want)
	}
	files["type"], files["trip_point_0_temp"] = "gpu", "80000"
	zone, _ = readZone(read, zone)
	if trip, _ := zone.Trip("passive"); zone.Type != "gpu" || trip.Temperature != 80 {
		t.Errorf("another zone in the same directory has the old one's trip: %+v", zone)
	}
}

func FuzzTemperature(f *testing.F) {
	for _, seed := range []string{"41656\n", "-256000\n", "-274000", "", "N/A", "1e9", "0x10", "+5", "250000", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		state, celsius, err := temperature(value, nil)
		if (state == Failed) != (err != nil) {
			t.Errorf("%q: state %v with error %v", value, state, err)
		}
		if state != OK && celsius != 0 || celsius < coldest || celsius > hottest {
			t.Errorf("%q: %v, %v", value, state, celsius)
		}
	})
}

func FuzzParseTrip(f *testing.F) {
	f.Add([]byte("critical\n"), []byte("104500\n"), []byte("0\n"))
	f.Add([]byte("active"), []byte("70000"), []byte("8000"))
	f.Add([]byte(""), []byte("-1"), []byte("x"))
	f.Fuzz(func(t *testing.T, kind, temp, hyst []byte) {
		trip, err := parseTrip(kind, temp, hyst)
		if err == nil && (trip.Type == "" || trip.Temperature <= 0 || trip.Hysteresis < 0) {
			t.Errorf("%q %q %q was taken for the trip %+v", kind, temp, hyst, trip)
		}
	})
}
