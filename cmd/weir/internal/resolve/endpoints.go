package resolve

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"weir/config"
)

// maxEndpoints is the most that are taken from DNS for a cluster.
const maxEndpoints = 4096

// endpoint is one that DNS knows.
func endpoint(a netip.AddrPort, weight, priority uint32) config.Endpoint {
	return config.Endpoint{Address: a, Weight: weight, State: config.Ready, Priority: priority}
}

// allOf makes an endpoint of each address. more says that there were too many.
func allOf(addrs []netip.Addr, port uint16) (list []config.Endpoint, more bool) {
	for _, a := range addrs {
		list = append(list, endpoint(netip.AddrPortFrom(a, port), 1, 0))
	}
	sortEndpoints(list)
	if len(list) > maxEndpoints {
		return list[:maxEndpoints], true
	}
	return list, false
}

// firstOf returns the present address as long as it is among those of an answer, and else the answer's first.
func firstOf(addrs []netip.Addr, present netip.Addr) netip.Addr {
	if len(addrs) == 0 || slices.Contains(addrs, present) {
		return present
	}
	return addrs[0]
}

// servedBy makes an endpoint of each address of each service's target. Of services with the same address and port, the first
// counts. more says that there were too many.
func servedBy(services []service, addrsOf func(target string) []netip.Addr) (list []config.Endpoint, more bool) {
	seen := make(map[netip.AddrPort]struct{})
	for _, s := range services {
		for _, addr := range addrsOf(s.target) {
			a := netip.AddrPortFrom(addr, s.port)
			if _, twice := seen[a]; twice {
				continue
			}
			if len(list) == maxEndpoints {
				more = true
				break
			}
			seen[a] = struct{}{}
			// Weight 0 is for those who should hardly be chosen (RFC 2782). Here it would be never.
			list = append(list, endpoint(a, max(1, uint32(s.weight)), uint32(s.priority)))
		}
	}
	sortEndpoints(list)
	return list, more
}

func sortEndpoints(list []config.Endpoint) {
	slices.SortFunc(list, func(a, b config.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.Address.Compare(b.Address))
	})
}

// maxNamed is how many addresses a line of the log names.
const maxNamed = 8

// difference returns the addresses that came and went between two lists, the first maxNamed of each and how many more.
func difference(before, after []config.Endpoint) (added, removed []string) {
	return without(after, before), without(before, after)
}

func without(list, other []config.Endpoint) (names []string) {
	in := make(map[netip.AddrPort]struct{}, len(other))
	for i := range other {
		in[other[i].Address] = struct{}{}
	}
	names = []string{}
	more := 0
	for i := range list {
		if _, ok := in[list[i].Address]; ok {
			continue
		}
		if len(names) == maxNamed {
			more++
			continue
		}
		names = append(names, list[i].Address.String())
	}
	if more > 0 {
		names = append(names, moreNames(more))
	}
	return names
}

func moreNames(n int) string { return "and " + strconv.Itoa(n) + " more" }
