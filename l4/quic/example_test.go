package quic_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"weir/l4/quic"
)

// A packet of an established connection goes to the server whose ID is in its connection ID.
func Example() {
	datagram, _ := hex.DecodeString("4f" + "07c4605e4504cc4f" + "9d1c07b32e5a44f1d8e60a7c")
	header, ok := quic.ParseHeader(datagram)
	if !ok {
		return // not QUIC
	}
	if id, ok := quic.ServerID(header.DCID, 3); ok {
		fmt.Printf("%x\n", id)
	}
	// Output: c4605e
}

// A new connection goes where its ClientHello says. This is the one of RFC 9001, appendix A.2.
func ExampleHello() {
	text, err := os.ReadFile("testdata/rfc9001-a2.hex")
	if err != nil {
		fmt.Println(err)
		return
	}
	datagram, _ := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))

	var hello quic.Hello
	switch hello.Add(datagram) {
	case quic.More:
		// keep the datagram, and add the client's next one
	case quic.Done:
		fmt.Println(hello.SNI(), hello.ALPN())
	case quic.NotQUIC, quic.Failed:
		// it goes where those without a name go
	}
	// Output: example.com [alpn]
}
