// Package echotest is the endpoint that the tests of cmd/weir put behind weir: it sends every byte back.
//
// Owner of its state: the test that starts it, with which it ends. Layer: test support under cmd/weir; nothing that weir runs imports it.
package echotest
