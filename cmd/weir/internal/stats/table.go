package stats

import (
	"strings"
	"unicode/utf8"
)

// textTable aligns columns: the first ones to the left, numbers to the right.
type textTable struct {
	left int  // columns aligned to the left
	last bool // the last column is, too
	rows [][]string
}

func (t *textTable) row(cells ...string) { t.rows = append(t.rows, cells) }

// write appends the table; every column is as wide as its widest cell, two spaces apart.
func (t *textTable) write(b *strings.Builder) {
	var widths []int
	for _, row := range t.rows {
		for len(widths) < len(row) {
			widths = append(widths, 0)
		}
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var line strings.Builder
	for _, row := range t.rows {
		line.Reset()
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch {
			case i > 0 && (i < t.left || t.last && i == len(widths)-1):
				line.WriteString("  " + cell + space)
			case i > 0:
				line.WriteString("  " + space + cell)
			default:
				line.WriteString(cell + space)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}
