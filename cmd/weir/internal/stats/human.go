package stats

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// humanCount writes a number with thousands apart.
func humanCount(n uint64) string { return thousands(strconv.FormatUint(n, 10)) }

// shortCount is humanCount for columns: from 100,000 on with three digits and a unit, "189k", "5.68M".
func shortCount(n uint64) string {
	if n < 100_000 {
		return humanCount(n)
	}
	return scaled(float64(n), 1000, []string{"", "k", "M", "G", "T", "P", "E"})
}

func thousands(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// humanActive is humanCount for a gauge, which may be read below zero while another loop counts.
func humanActive(n int64) string { return humanCount(uint64(max(n, 0))) }

// shortLimit writes a limit for a column; 0 is none.
func shortLimit(n int64) string {
	if n <= 0 {
		return "-"
	}
	return shortCount(uint64(n))
}

// humanRate writes how often a second: "0", "<0.1", "4.2", "1,234".
func humanRate(v float64) string {
	switch {
	case v <= 0:
		return "0"
	case v < 0.1:
		return "<0.1"
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return shortCount(uint64(v + 0.5))
}

// humanBytes writes a size with three digits: "0", "999 B", "1.21 KiB", "300 MiB".
func humanBytes(v float64) string {
	if v < 0.5 {
		return "0"
	}
	return scaled(v, 1024, []string{" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"})
}

// scaled writes v with three digits, or four before a unit of 1,024, and the unit that makes it so.
func scaled(v, base float64, units []string) string {
	unit := 0
	for v >= base-0.5 && unit < len(units)-1 {
		v /= base
		unit++
	}
	digits := 0
	switch {
	case unit == 0 || v >= 99.95:
	case v >= 9.995:
		digits = 1
	default:
		digits = 2
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + units[unit]
}

// humanSeconds writes a duration with two or three digits: "16us", "1.5ms", "2.1s", "3m20s", "5h10m", "3d4h", "2h".
func humanSeconds(s float64) string {
	switch {
	case s <= 0:
		return "0"
	case s < 0.9995e-3:
		return strconv.FormatFloat(s*1e6, 'f', 0, 64) + "us"
	case s < 9.95e-3:
		return strconv.FormatFloat(s*1e3, 'f', 1, 64) + "ms"
	case s < 0.9995:
		return strconv.FormatFloat(s*1e3, 'f', 0, 64) + "ms"
	case s < 59.95:
		return strconv.FormatFloat(s, 'f', 1, 64) + "s"
	}
	whole := int64(s + 0.5)
	switch {
	case whole < 3600:
		return twoUnits(whole/60, "m", whole%60, "s")
	case whole < 86400:
		return twoUnits(whole/3600, "h", whole%3600/60, "m")
	}
	return twoUnits(whole/86400, "d", whole%86400/3600, "h")
}

func twoUnits(n int64, unit string, rest int64, smaller string) string {
	if rest == 0 {
		return fmt.Sprintf("%d%s", n, unit)
	}
	return fmt.Sprintf("%d%s%d%s", n, unit, rest, smaller)
}

// humanSince writes how long ago something was.
func humanSince(now, then time.Time) string {
	return humanSeconds(max(1, now.Sub(then).Seconds())) + " ago"
}

// printable makes text from elsewhere safe for a terminal and keeps it on one line.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, text)
}
