package file

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

// chunkSize is what one read asks for. Lines are views into chunks; only the line that lies across two of them is copied.
const chunkSize = 256 << 10

// chunk is memory that several batches have views into. It is used again when the last of them is settled.
type chunk struct {
	buf  []byte
	refs atomic.Int32
}

var chunks = sync.Pool{New: func() any { return &chunk{buf: make([]byte, chunkSize)} }}

func newChunk(size int) *chunk {
	c := &chunk{}
	if size <= chunkSize {
		c = chunks.Get().(*chunk)
	} else {
		c.buf = make([]byte, size)
	}
	c.refs.Store(1)
	return c
}

func (c *chunk) release() {
	if c.refs.Add(-1) == 0 && len(c.buf) == chunkSize {
		chunks.Put(c)
	}
}

// span is where a line lies in its file: its first byte, and the one behind its newline.
type span struct{ start, end int64 }

// pack is one batch in the making.
type pack struct {
	events []event.Event
	spans  []span
	bytes  int
	chunk  *chunk
	id     *identity
	head   []byte // of the file, as far as it was read with this batch
	sum    string
	last   string // the place behind the batch
	free   atomic.Bool
}

var eventSlices sync.Pool // of *[]event.Event

func (s *splitter) newPack() *pack {
	p := &pack{id: s.id}
	if e, ok := eventSlices.Get().(*[]event.Event); ok {
		p.events = (*e)[:0]
	}
	if s.id != nil { // not used again, as a place that is asked for late must not be another batch's
		p.spans = make([]span, 0, cap(p.events))
	}
	return p
}

func (p *pack) add(line []byte, at span) {
	p.events = append(p.events, event.Event{Raw: line})
	if p.id != nil {
		p.spans = append(p.spans, at)
	}
	p.bytes += len(line)
}

// batch gives the batch. Its memory is used again once every event of it is settled.
func (p *pack) batch() *event.Batch {
	b := &event.Batch{Events: p.events, Bytes: p.bytes, OnDone: p.done}
	if p.id != nil {
		p.last = p.value(len(p.events) - 1)
		b.Cursor = p.cursor
	}
	return b
}

// cursor gives the place behind an event; of the last one also when the batch is settled, and its memory is another's.
func (p *pack) cursor(i int) event.Cursor {
	switch {
	case i == len(p.spans)-1:
		return event.Cursor{Key: p.id.key, Value: p.last}
	case p.free.Load() && p.spans[i].end >= headSize: // without proof by the line
		at := p.spans[i]
		return event.Cursor{Key: p.id.key, Value: place{offset: at.end, start: at.end, head: p.sum}.String()}
	}
	return event.Cursor{Key: p.id.key, Value: p.value(i)}
}

func (p *pack) done() {
	p.free.Store(true)
	scribble(p.events)
	eventSlices.Put(&p.events)
	p.chunk.release()
}

// splitter cuts an input into lines.
type splitter struct {
	r    io.Reader
	env  sources.Env
	id   *identity // nil: the input has no places
	fill bool      // reads fill the chunk before it is cut, as they never wait

	c        *chunk
	from, to int   // what of the chunk is not cut yet
	offset   int64 // of from in the input
	pos      int64 // of the next byte to read in the input
	cut      bool  // the line at from is too long: what is kept of it is in hand, the rest is being skipped
	err      error // of the reader, io.EOF included
}

func newSplitter(r io.Reader, env sources.Env, id *identity, offset int64) *splitter {
	return &splitter{r: r, env: env, id: id, c: newChunk(chunkSize), offset: offset, pos: offset}
}

func (s *splitter) close() { s.c.release() }

// next gives the next batch, io.EOF at the end of the input. What stands behind the last newline is a line where final
// says so; else s.offset is where it begins.
func (s *splitter) next(final bool) (*pack, error) {
	p := s.newPack()
	for {
		s.split(p)
		if len(p.events) > 0 {
			return s.ready(p), nil
		}
		if s.err != nil {
			if errors.Is(s.err, io.EOF) && final && s.from < s.to {
				return s.last(p)
			}
			return nil, s.err
		}
		s.read(p)
	}
}

func (s *splitter) ready(p *pack) *pack {
	p.chunk = s.c
	s.c.refs.Add(1)
	if s.id != nil {
		p.head, p.sum = s.id.head, s.id.sum
	}
	return p
}

func (s *splitter) split(p *pack) {
	if s.cut {
		return
	}
	s.passMark()
	buf := s.c.buf
	for len(p.events) < s.env.MaxEvents {
		n := bytes.IndexByte(buf[s.from:s.to], '\n')
		if n < 0 {
			return
		}
		if line := s.line(buf[s.from : s.from+n : s.from+n]); len(line) > 0 {
			if len(p.events) > 0 && p.bytes+len(line) > s.env.MaxBytes {
				return
			}
			p.add(line, span{s.offset, s.offset + int64(n) + 1})
		}
		s.from += n + 1
		s.offset += int64(n) + 1
	}
}

// line takes off the carriage return and cuts what is too long; a line of white space alone becomes empty.
func (s *splitter) line(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\r' && !s.cut {
		b = b[: n-1 : n-1]
	}
	if limit := s.env.MaxEventSize; len(b) > limit {
		return b[: limit+1 : limit+1]
	}
	if len(b) > 0 && b[0] <= ' ' && len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	return b
}

// passMark passes over the byte order mark that a file may begin with.
func (s *splitter) passMark() {
	if s.offset == 0 && bytes.HasPrefix(s.c.buf[s.from:s.to], mark) {
		s.from, s.offset = s.from+len(mark), int64(len(mark))
	}
}

var mark = []byte("\xef\xbb\xbf")

// last makes an event of what stands behind the last newline.
func (s *splitter) last(p *pack) (*pack, error) {
	s.passMark()
	line := s.line(s.c.buf[s.from:s.to:s.to])
	at := span{s.offset, s.pos}
	s.from, s.offset, s.cut = s.to, s.pos, false
	if len(line) == 0 {
		return nil, io.EOF
	}
	p.add(line, at)
	return s.ready(p), nil
}

// read gets more bytes behind those that are not cut yet.
func (s *splitter) read(p *pack) {
	if !s.cut && s.to-s.from > s.env.MaxEventSize+1 { // one more than an event may have, and perhaps a carriage return
		s.cut = true
		s.to = s.from + s.env.MaxEventSize + 1
	}
	s.room()
	space := s.c.buf[s.to:]
	n := 0
	for more := true; more && s.err == nil && n < len(space); more = s.fill {
		var k int
		k, s.err = s.r.Read(space[n:])
		n += k
	}
	if s.id != nil {
		s.id.grow(space[:n], s.pos)
	}
	s.pos += int64(n)
	if !s.cut {
		s.to += n
		return
	}
	if i := bytes.IndexByte(space[:n], '\n'); i >= 0 { // the end of the long line: it goes alone
		end := s.pos - int64(n) + int64(i) + 1
		p.add(s.c.buf[s.from:s.to:s.to], span{s.offset, end})
		s.from, s.to, s.offset, s.cut = s.to+i+1, s.to+n, end, false
	}
}

// room makes place behind s.to: in this chunk where there is some, or at its front where no batch looks at it, else in
// another one, which is larger where a line fills this one.
func (s *splitter) room() {
	buf, kept, free := s.c.buf, s.c.buf[s.from:s.to], s.c.refs.Load() == 1
	switch {
	case (s.from == 0 || !free) && len(buf)-s.to >= len(buf)/4:
		return
	case free && len(buf)-len(kept) >= len(buf)/4:
		copy(buf, kept)
	default:
		size := chunkSize
		for size-len(kept) < size/4 {
			size *= 2
		}
		c := newChunk(size)
		copy(c.buf, kept)
		s.c.release()
		s.c = c
	}
	s.from, s.to = 0, len(kept)
}
