package sensors

import (
	"fmt"
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
}

// What is no row of nvmap's table is told, and the other rows count.
func TestNvmapRowsThatAreNone(t *testing.T) {
	for table, want := range map[string]string{ // PIDs that are left, and the total
		"": "failed", "CLIENT PROCESS PID SIZE\n": "failed", "user llama 4321 5K\n": "4321 failed", "user llama 4321 5M\nuser b 7 1K\ntotal 5K\n": "7 ok",
		"user llama x 5K\ntotal 5K\n": "ok", "5K\ntotal 5K\n": "ok", "user a 7 1K\ntotal -5K\n": "7 failed", "total 99999999999999999K\n": "failed",
		"user llama -1 5K\nuser a 7 1K\ntotal 5K\n": "7 ok", "total 5K\nuser a 7 1K\ntotal 6K\n": "7 ok", "user a\nb 7 1K\ntotal 6K\n": "7 ok", "user a\n7 1K\n\ntotal 6K": "7 ok",
	} {
		memory, err := parseNvmap([]byte(table))
		var got strings.Builder
		for _, c := range memory.Clients {
			fmt.Fprintf(&got, "%d ", c.PID)
		}
		if got := got.String() + memory.Used.State.String(); got != want || err == nil {
			t.Errorf("%q: %q is left, want %q; %v", table, got, want, err)
		}
	}
}

// A row that is none does not make the table fail, but is told.
func TestNvmapIsUsedInPart(t *testing.T) {
	s := machine(t, "agx-orin-jp5")
	spoil(t, s.FS, nvmapClients, "user      odd\nuser a 77 5K\nkernel          x         y\ntotal 9K")
	r := once(t, s)
	if m := r.GPUMemory; m.State != OK || len(m.Clients) != 1 || m.Clients[0].PID != 77 || m.Used != known(9*quantity.KiB) {
		t.Errorf("got %+v", m)
	}
	if sources(r) != "nvmap" || !strings.Contains(r.Problems[0].Err.Error(), `"odd" is no size of nvmap, and 1 more`) {
		t.Errorf("problems %v", r.Problems)
	}
}

// A program that opens nvmap again and again does not make the table too long.
func TestNvmapIsOpenedOften(t *testing.T) {
	s := machine(t, "agx-orin-jp5")
	const often = 1 << 19
	rows := strings.Repeat(fmt.Sprintf("%-18s %18s %8d %10dK\n", "user", "flood", 77, 1), often)
	spoil(t, s.FS, nvmapClients, rows+"total 9K")
	if m, err := s.FS.readNvmap(); err != nil || len(m.Clients) != 1 || m.Clients[0].Used != known(often*quantity.KiB) {
		t.Errorf("got %+v, %v", m, err)
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
		if memory.State != OK || memory.Used.State != OK && err == nil {
			t.Errorf("%q was taken for %+v", table, memory)
		}
		for i, c := range memory.Clients {
			if c.PID < 0 || c.Used.State != OK || i > 0 && c.PID <= memory.Clients[i-1].PID {
				t.Errorf("%q has the client %+v", table, c)
			}
		}
	})
}

// Whatever a program calls itself, in the 15 bytes that the kernel has for that, its own
// row counts, all others count too, and no row comes of the name.
func FuzzNvmapName(f *testing.F) {
	for _, name := range []string{
		"evil\n", "\nevil", "a\nb\nc", "\n", "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n", "", "   ", "x\r\vy", "\n12 99999999K\n", "\na 12 9999999K\n",
		"12 99999999K\n", "12    9999999K\n", "\ntotal 5K\n", "total", "\xff\xfe\n\x85", "\nCLIENT PROCES", "1 5K", "12\n4321 5K\n",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if len(name) > 15 || strings.Contains(name, "\x00") {
			return
		}
		var table strings.Builder
		fmt.Fprintf(&table, "%-18s %18s %8s %11s\n", "CLIENT", "PROCESS", "PID", "SIZE")
		row := func(name string, pid, size int) {
			pad := strings.Repeat(" ", 18-len(name)) // in bytes, as the kernel does
			fmt.Fprintf(&table, "%-18s %s%s %8d %10dK\n", "user", pad, name, pid, size)
		}
		row("llama", 12, 100)
		row(name, 4321, 5000)
		row(name, 4321, 500)
		row("Xorg", 13, 7)
		fmt.Fprintf(&table, "%-18s %18s %8s %10dK\n", "total", "", "", 5607)
		memory, err := parseNvmap([]byte(table.String()))
		if c := memory.Clients; err != nil || memory.Used != known(5607*quantity.KiB) || len(c) != 3 ||
			c[0] != (GPUClient{12, "llama", known(100 * quantity.KiB)}) || c[1] != (GPUClient{13, "Xorg", known(7 * quantity.KiB)}) ||
			c[2].PID != 4321 || c[2].Used != known(5500*quantity.KiB) || strings.Contains(c[2].Process, "\n") {
			t.Errorf("%q: got %+v, %v", name, memory, err)
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
