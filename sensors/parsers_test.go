package sensors

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
	"brainjar/sensors/sensorstest"
)

func TestParseNvmap(t *testing.T) {
	table := "CLIENT                        PROCESS      PID        SIZE\n" +
		"user                  llama server 2      4321    2097152K\n" +
		"user                      7 zip 99          12          8K\n" +
		"user                  llama server 2      4321          1K\n" +
		"kernel                         nvgpu         0       1024K\n\n" +
		"total                                             2098185K\n"
	memory, err := parseNvmap([]byte(table))
	want := []GPUClient{
		{0, "nvgpu", known(quantity.MiB)}, {12, "7 zip 99", known(8 * quantity.KiB)}, {4321, "llama server 2", known(2*quantity.GiB + quantity.KiB)},
	}
	if err != nil || memory.State != OK || memory.Used != known(2098185*quantity.KiB) || !reflect.DeepEqual(memory.Clients, want) {
		t.Errorf("got %+v, %v", memory, err)
	}
	for _, table := range []string{
		"", "CLIENT PROCESS PID SIZE\n", "user llama 4321 5K\n", "user llama 4321 5M\ntotal 5K\n", "user llama x 5K\ntotal 5K\n",
		"4321 5K\ntotal 5K\n", "5K\ntotal 5K\n", "total -5K\n", "total 99999999999999999K\n", "user llama -1 5K\ntotal 5K\n",
	} {
		if memory, err := parseNvmap([]byte(table)); err == nil {
			t.Errorf("%q was taken for %+v", table, memory)
		}
	}
}

// Machines that are no Jetson are not asked for nvmap and the memory controller,
// whose directories only root may look into: that they may not be seen is no problem.
func TestDebugfsIsOfJetsons(t *testing.T) {
	const files = "[sys/kernel/debug/nvmap/iovmm]\nclients = EACCES\n[sys/kernel/debug/bpmp/debug/clk/emc]\nrate = EACCES\n"
	for about, want := range map[string]string{
		"": "cpu memory", "[proc/device-tree]\ncompatible = raspberrypi,5-model-b\\0brcm,bcm2712\\0\n": "cpu memory",
		"[proc/device-tree]\ncompatible = nvidia,tegra234\\0\n": "cpu memory nvmap emc",
	} {
		r := once(t, &Sampler{FS: FS(sensorstest.Tree(t, files+about))})
		if sources(r) != want {
			t.Errorf("%q: problems of %q, want %q", about, sources(r), want)
		}
	}
}

func TestParsePressure(t *testing.T) {
	stall, err := parsePressure("some avg10=1.53 avg60=0.87 avg300=0.22 total=58761459\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=0")
	if err != nil || stall != (Stall{known[quantity.Percent](1.53), known[quantity.Percent](0.25)}) {
		t.Errorf("got %+v, %v", stall, err)
	}
	if stall, err := parsePressure("some avg10=100.00 avg60=0.87 avg300=0.22 total=5"); err != nil || stall.Full.State != Absent || stall.Some.V != 100 {
		t.Errorf("an older kernel's CPU: %+v, %v", stall, err)
	}
	for _, text := range []string{"", "full avg10=0.00 avg60=0 avg300=0 total=0", "some avg10=101 avg60=0", "some avg10=-1 avg60=0", "some avg10=NaN avg60=0", "some avg10=1.5"} {
		if stall, err := parsePressure(text); err == nil {
			t.Errorf("%q was taken for %+v", text, stall)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	for text, want := range map[string][]int{
		"0": {0}, "0-3": {0, 1, 2, 3}, "0-1,4,6-7": {0, 1, 4, 6, 7}, "0 1 2 3": {0, 1, 2, 3}, "3,1,2-3": {1, 2, 3},
	} {
		if got, err := parseCPUs(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"a", "0-", "-3", "3-1", "0-99999999", "1.5", "0x1"} {
		if got, err := parseCPUs(text); err == nil {
			t.Errorf("%q was taken for %v", text, got)
		}
	}
}

func TestParseBoard(t *testing.T) {
	for list, want := range map[string]string{
		"nvidia,p3768-0000+p3767-0005\x00nvidia,tegra234": "tegra234", "nvidia,p2972-0000\x00nvidia,tegra194": "tegra194",
		"nvidia,p3737-0000+p3701-0000\x00nvidia,tegra234\x00nvidia,p3701-0000": "tegra234", // whatever the order
		"raspberrypi,5-model-b\x00brcm,bcm2712":                                "bcm2712", "": "", "gibberish": "",
	} {
		if got := parseSoC(list); got != want {
			t.Errorf("%q: got %q, want %q", list, got, want)
		}
	}
	for content, want := range map[string]string{
		"# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic": "36.4.3",
		"# R38 (release), REVISION: 2.2, GCID: 1\n# KERNEL_VARIANT: oot": "38.2.2",
		"# R35 (release), REVISION: 3.1":                                 "35.3.1",
		"":                                                               "", "R36": "", "# R36 (release)": "", "# Rx (release), REVISION: 4.3,": "", "# R36 (release), REVISION: x,": "",
	} {
		if got := parseL4T(content); got != want {
			t.Errorf("%q: got %q, want %q", content, got, want)
		}
	}
	for _, test := range [][3]string{
		{"LENOVO", "ThinkStation P620", "LENOVO ThinkStation P620"}, {"", "Virtual Machine", "Virtual Machine"},
		{"ASUS", "System Product Name", ""}, {"", "", ""}, {"MSI", "To Be Filled By O.E.M.", ""},
	} {
		if got := dmiModel(test[0], test[1]); got != test[2] {
			t.Errorf("%q: got %q", test, got)
		}
	}
	broken := FS(sensorstest.Tree(t, "[proc/device-tree]\nmodel = EIO\ncompatible = nvidia,tegra234\\0\n[etc]\nnv_tegra_release = x\n"))
	if b, err := broken.Board(); err == nil || b != (Board{SoC: Orin}) {
		t.Errorf("got %+v, %v", b, err)
	}
}

func TestReadTable(t *testing.T) {
	long := strings.Repeat("user  gpu_burn  7979  1K\n", 5000)
	fs := FS(sensorstest.Tree(t, "[a]\nlong = <<\n"+long+">>\nhuge = "+strings.Repeat("x", maxTable)+"\nfails = EIO\n"))
	if table, err := fs.table()(fs.path("a/long")); string(table) != long || err != nil {
		t.Errorf("%d bytes of %d, %v", len(table), len(long), err)
	}
	if _, err := fs.table()(fs.path("a/huge")); err == nil {
		t.Errorf("more than %d bytes were taken", maxTable)
	}
	if _, err := fs.table()(fs.path("a/fails")); !strings.Contains(err.Error(), unix.EIO.Error()) {
		t.Errorf("got %v", err)
	}
}

func FuzzParseNvmap(f *testing.F) {
	f.Add([]byte("CLIENT PROCESS PID SIZE\nuser gpu_burn 7979 23525644K\ntotal 23549320K\n"))
	f.Add([]byte("user a b c 1 2K\nuser a 1 3K\ntotal 5K"))
	f.Add([]byte("total 0K\n"))
	f.Fuzz(func(t *testing.T, table []byte) {
		memory, err := parseNvmap(table)
		if err != nil {
			return
		}
		if memory.State != OK || memory.Used.State != OK {
			t.Errorf("%q was taken for %+v", table, memory)
		}
		for i, c := range memory.Clients {
			if c.PID < 0 || c.Used.State != OK || i > 0 && c.PID <= memory.Clients[i-1].PID {
				t.Errorf("%q has the client %+v", table, c)
			}
		}
	})
}

func FuzzParsePressure(f *testing.F) {
	f.Add("some avg10=1.53 avg60=0.87 avg300=0.22 total=58761459\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=0\n")
	f.Add("some avg10=inf avg60=")
	f.Fuzz(func(t *testing.T, text string) {
		stall, err := parsePressure(text)
		if err == nil && (stall.Some.State != OK || !(stall.Some.V >= 0 && stall.Some.V <= 100) || !(stall.Full.V >= 0 && stall.Full.V <= 100)) {
			t.Errorf("%q was taken for %+v", text, stall)
		}
	})
}

func FuzzParseCPUs(f *testing.F) {
	f.Add("0-3,8")
	f.Add("0 1 2 3")
	f.Add("16383,5-4")
	f.Fuzz(func(t *testing.T, text string) {
		cpus, err := parseCPUs(text)
		if err == nil && (!slices.IsSorted(cpus) || len(cpus) > 0 && (cpus[0] < 0 || cpus[len(cpus)-1] >= mostCPUs)) {
			t.Errorf("%q was taken for %v", text, cpus)
		}
	})
}

func FuzzBoard(f *testing.F) {
	f.Add("# R36 (release), REVISION: 4.3, GCID: 38968081", "nvidia,p3768-0000\x00nvidia,tegra234")
	f.Add("", "raspberrypi,5-model-b\x00brcm,bcm2712")
	f.Fuzz(func(t *testing.T, release, names string) {
		if l4t := parseL4T(release); strings.Trim(l4t, "0123456789.") != "" {
			t.Errorf("%q is the release %q", release, l4t)
		}
		if soc := parseSoC(names); strings.Contains(soc, "\x00") {
			t.Errorf("%q has the chip %q", names, soc)
		}
	})
}

// Whatever the files of a power monitor hold, a rail is right or not there.
func FuzzRail(f *testing.F) {
	f.Add([]byte("VDD_IN\n"), []byte("4984\n"), []byte("1856\n"))
	f.Add([]byte("NC\n"), []byte("0\n"), []byte("0\n"))
	f.Add([]byte("VDD_GPU"), []byte("-8"), []byte("99999999999999999999"))
	f.Fuzz(func(t *testing.T, label, millivolts, milliamps []byte) {
		a := &attributes{read: func(path string) ([]byte, error) {
			switch {
			case strings.HasSuffix(path, "/in1_label"):
				return label, nil
			case strings.HasSuffix(path, "/in1_input"):
				return millivolts, nil
			case strings.HasSuffix(path, "/curr1_input"):
				return milliamps, nil
			}
			return nil, unix.ENOENT
		}, dir: "x"}
		for _, rail := range readINA3221(a) {
			v, i, p := rail.Millivolts, rail.Milliamps, rail.Power
			if rail.Name == "" || (p.State == OK) != (v.State == OK && i.State == OK) || p.State == OK && int64(p.V) != v.V*i.V/1000 || (a.err != nil) != (p.State == Failed) {
				t.Errorf("%q %q %q: %+v, %v", label, millivolts, milliamps, rail, a.err)
			}
		}
	})
}
