package sensors

import (
	"fmt"
	"strings"
	"time"
)

// Board says what machine this is. A text that nobody knows is "".
type Board struct {
	Model string `json:"model,omitempty"` // "NVIDIA Jetson AGX Orin Developer Kit"
	SoC   string `json:"soc,omitempty"`   // "tegra234"; of machines with a device tree
	L4T   string `json:"l4t,omitempty"`   // release of Jetson Linux: "36.4.3"
}

// The chips of Jetson boards, by which they differ. JetPack releases span several.
const (
	Xavier = "tegra194"
	Orin   = "tegra234"
	Thor   = "tegra264"
)

// Jetson says whether the board is a Jetson: its GPU shares the machine's memory.
func (b Board) Jetson() bool { return strings.HasPrefix(b.SoC, "tegra") }

// Board reads what machine this is: from its device tree and the release file of
// Jetson Linux, or from what a PC's firmware says (DMI). Its error is one of
// reading a file that is there.
func (fs FS) Board() (Board, error) {
	a := attributes{read: fs.table(), dir: fs.path()}
	board := Board{
		Model: a.text("proc/device-tree/model").V,
		SoC:   parseSoC(a.text(compatible).V),
	}
	if board.Jetson() {
		board.L4T = parseL4T(a.text("etc/nv_tegra_release").V)
	}
	if board.Model == "" {
		board.Model = dmiModel(a.text("sys/class/dmi/id/sys_vendor").V, a.text("sys/class/dmi/id/product_name").V)
	}
	if board.Model == "" {
		board.Model = dmiModel(a.text("sys/class/dmi/id/board_vendor").V, a.text("sys/class/dmi/id/board_name").V)
	}
	if a.err != nil {
		return board, fmt.Errorf("cannot tell what board this is: %w", a.err)
	}
	return board, nil
}

// compatible is the list of names in a device tree that says what the board is.
const compatible = "proc/device-tree/compatible"

// soc returns the board's chip, "" if that is not known.
func (fs FS) soc() string {
	a := attributes{read: fs.table(), dir: fs.path()}
	return parseSoC(a.text(compatible).V)
}

// parseSoC finds the chip in the list of a device tree's compatible names, which
// goes from the board to the chip: "nvidia,p3701-0000", "nvidia,tegra234".
func parseSoC(compatible string) string {
	names := strings.Split(compatible, "\x00")
	for _, name := range names {
		if chip, ok := strings.CutPrefix(name, "nvidia,tegra"); ok {
			return "tegra" + chip
		}
	}
	_, chip, _ := strings.Cut(names[len(names)-1], ",")
	return chip
}

// parseL4T reads the release in the first line of /etc/nv_tegra_release:
// "# R36 (release), REVISION: 4.3, GCID: …" is 36.4.3. Anything else is "".
func parseL4T(content string) string {
	line, _, _ := strings.Cut(content, "\n")
	major, rest, _ := strings.Cut(strings.TrimPrefix(line, "# R"), " ")
	_, rest, found := strings.Cut(rest, "REVISION: ")
	minor, _, _ := strings.Cut(rest, ",")
	if !found || !versionLike(major) || !versionLike(minor) {
		return ""
	}
	return major + "." + minor
}

// versionLike says whether a text is made of digits and dots.
func versionLike(s string) bool { return s != "" && strings.Trim(s, "0123456789.") == "" }

// dmiModel puts maker and product together, unless the product is one of the
// texts that makers of mainboards leave in its place.
func dmiModel(maker, product string) string {
	switch product {
	case "", "System Product Name", "To Be Filled By O.E.M.", "To be filled by O.E.M.", "Default string", "None":
		return ""
	}
	return strings.TrimSpace(maker + " " + product)
}

func boardSource(fs FS) *source {
	s := newSource("board", fs.Board, func(r *Reading, b Board, _ error) { r.Board = b })
	s.every = time.Hour // it hardly changes
	return s
}
