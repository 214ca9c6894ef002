package report

import (
	"fmt"
	"html/template"
	"image/color"
	"strings"

	"weir/bench/measure"
)

// ink is a colour of the plots: drawn in light, and a CSS variable of this name
// in the page. No two have the same light.
type ink struct {
	name        string
	light, dark uint32
}

// The families of the contenders differ in hue, a peer at its best from its
// defaults in depth. Red, blue, teal and violet stay apart for the colour-blind
// too, by lightness and by the names beside each line.
var (
	inkText   = ink{"text", 0x1d2430, 0xe6e9ef}
	inkMuted  = ink{"muted", 0x5c6675, 0x9aa4b4}
	inkAxis   = ink{"axis", 0x9aa2ad, 0x5d6776}
	inkGrid   = ink{"grid", 0xe3e6ea, 0x2c333e}
	inkBand   = ink{"band", 0xfbe3ea, 0x4a2231}
	inkStripe = ink{"stripe", 0xf6f7f9, 0x1e242d}

	inkSubject     = ink{"weir", 0xc9184a, 0xff5c8a}
	inkHAProxy     = ink{"haproxy", 0x78a9e6, 0x4f83c4}
	inkHAProxyBest = ink{"haproxy-best", 0x1b5cb8, 0x9cc6ff}
	inkNGINX       = ink{"nginx", 0x5fb8a5, 0x34917e}
	inkNGINXBest   = ink{"nginx-best", 0x0a6e5c, 0x7fe3cd}
	inkEnvoy       = ink{"envoy", 0xb79be0, 0x8464b8}
	inkEnvoyBest   = ink{"envoy-best", 0x6a35b1, 0xcdb2ff}
	inkDirect      = ink{"direct", 0x3f4754, 0xc3cad4}
	inkBaseline    = ink{"baseline", 0x8b929c, 0x868f9c}
	inkBaseline2   = ink{"baseline-2", 0x6d747f, 0xa4adba}
	inkBaseline3   = ink{"baseline-3", 0xa7adb6, 0x6c7582}
)

func inks() []ink {
	return []ink{
		inkText, inkMuted, inkAxis, inkGrid, inkBand, inkStripe,
		inkSubject, inkHAProxy, inkHAProxyBest, inkNGINX, inkNGINXBest, inkEnvoy, inkEnvoyBest,
		inkDirect, inkBaseline, inkBaseline2, inkBaseline3,
	}
}

func (i ink) rgb() color.Color {
	return color.NRGBA{R: uint8(i.light >> 16), G: uint8(i.light >> 8), B: uint8(i.light), A: 255}
}

func (i ink) variable() string { return "--ink-" + i.name }

// css is a value: the ink as the page has it.
func (i ink) css() template.CSS { return template.CSS("var(" + i.variable() + ")") }

// cssVariables are the declarations of all inks.
func cssVariables(dark bool) template.CSS {
	var b strings.Builder
	for _, i := range inks() {
		rgb := i.light
		if dark {
			rgb = i.dark
		}
		fmt.Fprintf(&b, "%s:#%06x;", i.variable(), rgb)
	}
	return template.CSS(b.String())
}

// inkOf is a contender's colour. Who is neither the subject nor a known peer is
// a baseline.
func inkOf(name, subject string) ink {
	if name == subject {
		return inkSubject
	}
	switch name {
	case measure.Direct, measure.DirectAgain:
		return inkDirect
	case "go":
		return inkBaseline2
	case "c":
		return inkBaseline3
	}
	for _, i := range []ink{inkHAProxy, inkHAProxyBest, inkNGINX, inkNGINXBest, inkEnvoy, inkEnvoyBest} {
		if i.name == name {
			return i
		}
	}
	return inkBaseline
}
