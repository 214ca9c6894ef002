package quic

// unroutable is the config rotation of connection IDs by servers that have no configuration.
const unroutable = 0b111

// ServerID returns the server ID of n bytes in a connection ID of QUIC-LB's plaintext scheme (draft-ietf-quic-load-balancers, "CID
// format"): one octet (3 bits of config rotation, 5 of length or noise), the server ID, the nonce. It points into dcid. ok is false for
// the config rotation 0b111 (unroutable), for a dcid that ends within the server ID, and for n below 1. The length in the first octet is
// optional for servers and not looked at; neither is that of the nonce.
//
// A client's first packets have a connection ID that it made up, so ok says that there may be a server ID, not that there is one: whether
// a server has it is for the caller to see.
func ServerID(dcid []byte, n int) (id []byte, ok bool) {
	if n < 1 || len(dcid) <= n || dcid[0]>>5 == unroutable {
		return nil, false
	}
	return dcid[1 : 1+n : 1+n], true
}
