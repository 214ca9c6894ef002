package measure

import (
	"math"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestParseCPU(t *testing.T) {
	//                                user nice sys idle iowait irq softirq steal guest guest_nice
	got, err := ParseCPU([]byte("cpu  100 20 300 4000 500 6 70 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (CPU{Busy: 4.96, Idle: 45, Steal: 0.08}); !near(got.Busy, want.Busy) || !near(got.Idle, want.Idle) || !near(got.Steal, want.Steal) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"", "cpu0 1 2 3 4 5 6 7 8\n", "cpu 1 2 3\n", "cpu 1 2 3 4 5 6 7 x\n", "cpu 1 2 3 4 5 6 7 -8\n"} {
		if c, err := ParseCPU([]byte(bad)); err == nil {
			t.Errorf("%q: no error, %+v", bad, c)
		}
	}
}

func TestStealShare(t *testing.T) {
	spent := CPU{Busy: 4, Idle: 3, Steal: 3}.Sub(CPU{Busy: 1, Idle: 1, Steal: 2})
	if got := spent.StealShare(); !near(got, 1.0/6) {
		t.Errorf("share %v, want 1/6", got)
	}
	if got := (CPU{}).StealShare(); got != 0 {
		t.Errorf("share of no time %v, want 0", got)
	}
}

func TestParseProcess(t *testing.T) {
	const rest = " 0 0 20 0 1 0 12345 1000 200\n"
	for _, c := range []struct {
		name, text string
		want       Process
	}{
		{"plain", "42 (nginx) S 1 42 40 0 -1 4194560 1 2 3 4 150 50 20 10" + rest, Process{PID: 42, Session: 40, Self: 2, Children: 0.3}},
		{"name with spaces and parentheses", "7 (a) b (c) R 1 7 7 0 -1 0 0 0 0 0 1 1 0 0" + rest, Process{PID: 7, Session: 7, Self: 0.02}},
		{"kernel thread", "12 (ksoftirqd/0) S 2 0 0 0 -1 69238848 0 0 0 0 0 30 0 0" + rest, Process{PID: 12, Kernel: true, Self: 0.3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseProcess([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if got.PID != c.want.PID || got.Session != c.want.Session || got.Kernel != c.want.Kernel || !near(got.Self, c.want.Self) || !near(got.Children, c.want.Children) {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
		})
	}
	for _, bad := range []string{"", "1 S 1", "1 (x) S 1 2 3", ")(", "1 (x) S 1 1 1 0 -1 0 0 0 0 0 z 1 0 0"} {
		if p, err := ParseProcess([]byte(bad)); err == nil {
			t.Errorf("%q: no error, %+v", bad, p)
		}
	}
}

func TestReadProcessesFindsThisOne(t *testing.T) {
	list, err := readProcesses()
	if err != nil {
		t.Fatal(err)
	}
	sessions := map[int]bool{}
	for _, p := range list {
		sessions[p.Session] = true
	}
	if len(sessions) == 0 {
		t.Fatal("no processes")
	}
	if got := foreignTime(list, sessions, nil); got != 0 {
		t.Errorf("foreign time with all sessions ours: %v", got)
	}
}

func TestSessionAndForeignTime(t *testing.T) {
	list := []Process{
		{PID: 1, Session: 1, Self: 1, Children: 100},
		{PID: 2, Session: 0, Kernel: true, Self: 10},
		{PID: 5, Session: 5, Self: 2, Children: 3},
		{PID: 6, Session: 5, Self: 4},
		{PID: 9, Session: 1, Self: 1000},
	}
	if got := sessionTime(list, 5); got != 6 {
		t.Errorf("session's time %v, want 6", got)
	}
	if got := foreignTime(list, map[int]bool{5: true}, map[int]bool{9: true}); got != 101 {
		t.Errorf("foreign time %v, want 101", got)
	}
}

func TestParsePss(t *testing.T) {
	const text = `55d0c0000000-7ffd3e1fe000 ---p 00000000 00:00 0                          [rollup]
Rss:                4096 kB
Pss:                1234 kB
Pss_Dirty:           999 kB
Pss_Anon:            888 kB
`
	if got, err := ParsePss([]byte(text)); err != nil || got != 1234 {
		t.Fatalf("got %v, %v, want 1234", got, err)
	}
	for _, bad := range []string{"", "Rss: 1 kB\n", "Pss: x kB\n", "Pss: 1\n"} {
		if got, err := ParsePss([]byte(bad)); err == nil {
			t.Errorf("%q: no error, %v", bad, got)
		}
	}
}
