package lb

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for _, p := range allPolicies {
		if got, err := ParsePolicy(p.String()); err != nil || got != p {
			t.Errorf("ParsePolicy(%q) = %v, %v", p.String(), got, err)
		}
	}
	if len(allPolicies) != len(policyNames) {
		t.Errorf("the tests know %d policies of %d", len(allPolicies), len(policyNames))
	}
	for _, s := range []State{Ready, Drain, Maint} {
		if got, err := ParseState(s.String()); err != nil || got != s {
			t.Errorf("ParseState(%q) = %v, %v", s.String(), got, err)
		}
	}
	for want, got := range map[string]string{
		"round_robin": RoundRobin.String(), "p2c": P2C.String(), "Policy(200)": Policy(200).String(),
		"maint": Maint.String(), "State(9)": State(9).String(),
		"picked": Picked.String(), "full": Full.String(), "no_endpoint": NoEndpoint.String(),
	} {
		if got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	if _, err := ParsePolicy("roundrobin"); err == nil || !strings.Contains(err.Error(), `"roundrobin"`) ||
		!strings.Contains(err.Error(), "round_robin, least_connections") {
		t.Errorf("ParsePolicy: %v", err)
	}
	if _, err := ParseState(""); err == nil || !strings.Contains(err.Error(), "ready, drain, maint") {
		t.Errorf("ParseState: %v", err)
	}
}
