package eventloop

// Events is a set of readiness bits, as the poller reports them.
type Events uint32

// Readiness bits. They have the values of epoll_ctl(2), so that a batch from the kernel needs no translation.
const (
	Readable   Events = 0x001  // EPOLLIN
	Urgent     Events = 0x002  // EPOLLPRI: a byte sent with MSG_OOB is in the receive queue
	Writable   Events = 0x004  // EPOLLOUT
	Failed     Events = 0x008  // EPOLLERR: SO_ERROR is set
	HungUp     Events = 0x010  // EPOLLHUP: both directions are shut
	PeerClosed Events = 0x2000 // EPOLLRDHUP: the peer has sent FIN

	edge Events = 1 << 31 // EPOLLET
)

// Token names one registration of one descriptor: the slot's index in the low half, its generation in the high half.
// A token that outlives its registration names nothing: a reused slot has another generation.
type Token uint64

func token(index, generation uint32) Token { return Token(index) | Token(generation)<<32 }

func (t Token) index() uint32      { return uint32(t) }
func (t Token) generation() uint32 { return uint32(t >> 32) }

// Handler takes the events of the descriptors registered under it. It is called on the loop, with the value that was given
// to Register. Events is empty when the call comes from the ready list (see Loop.Again).
type Handler interface {
	Ready(tok Token, arg uint32, ev Events)
}

// HandlerID names a Handler in its loop; slots hold it instead of an interface, to stay small. A loop has a handler for each
// kind of registration, never one for each registration: at most 256, and they are never taken back.
type HandlerID uint8
