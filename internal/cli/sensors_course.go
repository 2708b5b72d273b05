package cli

import (
	"strings"
)

// A course is the values of one thing in the last minute, each between 0 and 1.
const (
	courseLength = 30 // one each redraw
	barWidth     = 8
)

// steps are the heights of a course.
var steps = []rune("▁▂▃▄▅▆▇█")

// share is a part of a whole, between 0 and 1; nil where there is no whole.
func share(part, whole float64) *float64 {
	if whole <= 0 {
		return nil
	}
	s := min(max(part/whole, 0), 1)
	return &s
}

// head is the head of a table whose rows have a course behind the second column.
func (p *picture) head(cells ...string) []string {
	if p.course == nil {
		return cells
	}
	return append([]string{cells[0], cells[1], ""}, cells[2:]...)
}

// withCourse adds a bar and the course of a value to the cells of a row, if they are
// drawn. A value that is not known leaves its place empty.
func (p *picture) withCourse(cells []string, name string, value *float64) []string {
	if p.course == nil {
		return cells
	}
	if value == nil {
		return append(cells, "")
	}
	values := append(p.course[name], *value)
	values = values[max(0, len(values)-courseLength):]
	p.course[name] = values
	return append(cells, bar(*value)+" "+sparkline(values))
}

// bar draws a share.
func bar(share float64) string {
	full := int(share*barWidth + 0.5)
	return strings.Repeat("█", full) + strings.Repeat("░", barWidth-full)
}

// sparkline draws a course, of one width however long it is.
func sparkline(values []float64) string {
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", courseLength-len(values)))
	for _, v := range values {
		b.WriteRune(steps[min(int(v*float64(len(steps))), len(steps)-1)])
	}
	return b.String()
}
