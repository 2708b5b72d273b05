package cli

import (
	"bufio"
	"strings"
	"unicode/utf8"
)

// table writes rows in columns as wide as their cells need. A long table is
// written as it comes: what is known of its first rows sets the widths then.
type table struct {
	w      *bufio.Writer
	rows   [][]string // that are not written yet
	widths []int
}

// tableLookahead is how many rows are seen before the first is written.
const tableLookahead = 1000

func (t *table) row(cells []string) {
	t.rows = append(t.rows, cells)
	if len(t.rows) >= tableLookahead {
		t.flush()
	}
}

// flush writes the rows that have come so far.
func (t *table) flush() {
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], width(cell))
		}
	}
	const spaces = "                                        "
	for _, row := range t.rows {
		gap := 0
		for i, cell := range row {
			if cell != "" {
				for ; gap > 0; gap -= min(gap, len(spaces)) {
					_, _ = t.w.WriteString(spaces[:min(gap, len(spaces))])
				}
				_, _ = t.w.WriteString(cell)
			}
			gap += t.widths[i] + 2 - width(cell)
		}
		_ = t.w.WriteByte('\n')
	}
	t.rows = t.rows[:0]
}

// width is how many columns a text takes on a terminal; colours take none.
func width(text string) int {
	n := utf8.RuneCountInString(text)
	for {
		_, after, found := strings.Cut(text, "\x1b[")
		if !found {
			return n
		}
		code, rest, _ := strings.Cut(after, "m")
		n -= len("\x1b[") + len(code) + len("m")
		text = rest
	}
}

// clip cuts a text to so many columns; colours stay whole.
func clip(text string, columns int) string {
	if width(text) <= columns {
		return text
	}
	var b strings.Builder
	room := columns - 1 // for the sign that something is missing
	for i := 0; i < len(text); {
		if code, found := strings.CutPrefix(text[i:], "\x1b["); found {
			end := i + len("\x1b[") + strings.IndexByte(code, 'm') + 1
			b.WriteString(text[i:end])
			i = end
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if room > 0 {
			b.WriteRune(r)
			room--
		}
		i += size
	}
	return b.String() + "…"
}
