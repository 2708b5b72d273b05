package cli

import (
	"bufio"
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
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
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
			gap += t.widths[i] + 2 - utf8.RuneCountInString(cell)
		}
		_ = t.w.WriteByte('\n')
	}
	t.rows = t.rows[:0]
}
