// Package config reads weir's configuration: TOML in, one validated, immutable
// [Snapshot] out, or every error at once, each with its file, line and key path.
// It also says what differs between two Snapshots ([Diff]) and describes every
// key ([Keys], [WriteReference]).
//
// Nothing here touches a socket, and only [Load] a file. A Snapshot belongs to
// nobody and is never changed, so that all may read it without locks.
//
// Layer: below cmd/weir, which alone translates a Snapshot into the options of
// the packages that do the work. It imports nothing else of weir.
//
// How a text becomes a Snapshot:
//
//	text --positions--> where each key stands --+
//	     --decode-----> values -----------------+--> tree --merge--> one tree
//	one tree --schema--> Snapshot --checks--> Snapshot or Errors
package config
