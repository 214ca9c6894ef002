// Package checks holds what is true of the tree as a whole: which package may import which, that every package says what it is for,
// that files stay readable, and that the references and examples agree with the code. All of it is tests.
//
// It owns no state and is imported by nothing. Run it with
//
//	go test ./scripts/checks
//	go test ./scripts/checks -update   # writes docs/reference/configuration.md anew
package checks
