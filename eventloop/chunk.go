package eventloop

// ChunkSize is the size in bytes of a Chunk: what a slow peer's backlog is made of.
const ChunkSize = 16 << 10

// idleChunks is how many chunks a loop keeps for the next lease; what a crowd of slow peers needed beyond that goes back to
// the garbage collector.
const idleChunks = 64

// Chunk is a leased piece of memory for bytes that a peer has not taken yet, a link of a chain.
type Chunk struct {
	Next       *Chunk
	Start, End int // the bytes held are Data[Start:End]
	Data       [ChunkSize]byte
}

type chunkPool struct {
	idle  *Chunk
	count int
}

// LeaseChunk returns an empty chunk.
func (l *Loop) LeaseChunk() *Chunk {
	c := l.chunks.idle
	if c == nil {
		return new(Chunk)
	}
	l.chunks.idle, c.Next = c.Next, nil
	l.chunks.count--
	c.Start, c.End = 0, 0
	return c
}

// ReturnChunk takes a chunk back and returns the one after it.
func (l *Loop) ReturnChunk(c *Chunk) (next *Chunk) {
	next = c.Next
	if l.chunks.count < idleChunks {
		c.Next, l.chunks.idle = l.chunks.idle, c
		l.chunks.count++
	}
	return next
}
