package config

import (
	"cmp"
	"maps"
	"slices"
)

// Snapshot is one whole, valid configuration with every default filled in.
// Nobody changes one, or anything it holds, after Parse has returned it.
type Snapshot struct {
	Process   Process
	Admin     Admin
	Listeners []Listener // sorted by name
	Clusters  []Cluster  // sorted by name
}

// Listener finds a listener by name; nil when there is none.
func (s *Snapshot) Listener(name string) *Listener {
	return find(s.Listeners, name, func(l *Listener) string { return l.Name })
}

// Cluster finds a cluster by name; nil when there is none.
func (s *Snapshot) Cluster(name string) *Cluster {
	return find(s.Clusters, name, func(c *Cluster) string { return c.Name })
}

func find[T any](all []T, name string, of func(*T) string) *T {
	i, ok := slices.BinarySearchFunc(all, name, func(v T, name string) int { return cmp.Compare(of(&v), name) })
	if !ok {
		return nil
	}
	return &all[i]
}

// rootTable is the whole configuration language.
func rootTable() table[Snapshot] {
	return table[Snapshot]{entries: []entry[Snapshot]{
		key(processTable().kind(), func(s *Snapshot) *Process { return &s.Process }, doc{
			name: "process", help: "The process as a whole."}),
		key(adminTable().kind(), func(s *Snapshot) *Admin { return &s.Admin }, doc{
			name: "admin", help: "The administrative side: dashboard, API, metrics."}),
		key(named(listenerTable(), func(l *Listener) *string { return &l.Name }), func(s *Snapshot) *[]Listener { return &s.Listeners }, doc{
			name: "listeners", help: "A listener, under a name of your own: where connections or datagrams come in."}),
		key(named(clusterTable(), func(c *Cluster) *string { return &c.Name }), func(s *Snapshot) *[]Cluster { return &s.Clusters }, doc{
			name: "clusters", help: "A cluster, under a name of your own: endpoints that do the same."}),
	}}
}

func sortedKeys(t map[string]*node) []string { return slices.Sorted(maps.Keys(t)) }
