package config

import "testing"

func TestRates(t *testing.T) {
	for text, want := range map[string]float64{
		"": 0, "0/s": 0, "0/h": 0, "1/s": 1, "1000/s": 1000, "90/m": 1.5, "3600/h": 1, "1/h": 1.0 / 3600, "1000000000/s": 1e9,
		"1": -1, "-1/s": -1, "+1/s": -1, "1.5/s": -1, "1 /s": -1, "1/S": -1, "/s": -1, "1/d": -1, "1000000001/s": -1, "99999999999999999999/s": -1, "1e3/s": -1,
	} {
		s, err := Parse([]Source{{Name: "f", Text: valid}, {Name: "rate", Kind: TOML, Text: "listeners.web.rate.connections = " + literal(text)}})
		if (err == nil) != (want >= 0) || err == nil && s.Listeners[0].Rate.Connections != want {
			t.Errorf("%q: got %+v, %v; want %v", text, s, err, want)
		}
	}
	if got := parse(t, valid, "listeners.web.rate.connections=0", "listeners.web.rate.per_source=20/s").Listeners[0].Rate; got != (Rate{PerSource: 20}) {
		t.Errorf("of --set: %+v", got)
	}
}

func TestNearRates(t *testing.T) {
	for text, want := range map[string]string{
		"1000": "1000/s", "1000/sec": "1000/s", "1000 per second": "1000/s", "10/second": "10/s", "10 / s": "10/s", "10r/s": "10/s", "10r/m": "10/m", "5rps": "5/s",
		"5 connections per minute": "5/m", "5/min": "5/m", "5/hr": "5/h", "0.5/s": "30/m", "0.01/s": "36/h", "0.5": "30/m", "100 conns/s": "100/s",
		"": "", "fast": "", "/s": "", "-5": "", "1/d": "", "1.2.3/s": "", "0.0001/s": "", "99999999999999999999": "",
	} {
		if got := nearRate(text); got != want {
			t.Errorf("%q: near is %q, want %q", text, got, want)
		}
	}
}
