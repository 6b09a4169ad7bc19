package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
)

// headSize is how much of a file's beginning tells it from others.
const headSize = 1024

// identity is one file of this run, known by what it holds and not by name, device or inode.
//
// Places in it are kept under a hash of its first line, since that does not change while the file grows. Files that have
// the same first line are numbered, and each place comes with proof that tells which file it is in: the hash of the
// first headSize bytes, and a checksum of the line before the place; below headSize bytes, a checksum of all before it.
type identity struct {
	key  string
	head []byte // as far as it was read; never written to, only appended to
	sum  string // hash of the head, once it is whole
	gone bool   // truncated or removed: another file may go on in its place
	sent string // the place behind the last event that was sent
}

func newIdentity(key string, head []byte) *identity {
	id := &identity{key: key, head: make([]byte, 0, headSize)}
	id.grow(head, 0)
	return id
}

// grow adds bytes of the file that were read at pos.
func (id *identity) grow(b []byte, pos int64) {
	have := int64(len(id.head))
	if have >= headSize || pos > have || pos+int64(len(b)) <= have {
		return
	}
	b = b[have-pos:]
	id.head = append(id.head, b[:min(len(b), headSize-len(id.head))]...)
	if len(id.head) == headSize {
		id.sum = headSum(id.head)
	}
}

func headSum(head []byte) string {
	sum := sha256.Sum256(head[:headSize])
	return hex.EncodeToString(sum[:8])
}

// key is what the places in the n-th file that begins like this are kept under.
func key(head []byte, n int) string {
	line := head
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	sum := sha256.Sum256(bytes.TrimSuffix(line, []byte("\r")))
	k := hex.EncodeToString(sum[:16])
	if n > 0 {
		k += "#" + strconv.Itoa(n)
	}
	return k
}

// place is an offset with its proof: the checksum of some bytes before it, and the hash of the file's head from headSize
// bytes on.
type place struct {
	offset, start int64
	length        int
	sum           uint32
	head          string
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// value writes the place behind an event.
func (p *pack) value(i int) string {
	at := p.spans[i]
	if at.end < headSize {
		return place{offset: at.end, length: int(at.end), sum: crc32.Checksum(p.head[:at.end], castagnoli)}.String()
	}
	line := p.events[i].Raw
	line = line[:min(len(line), headSize)]
	return place{at.end, at.start, len(line), crc32.Checksum(line, castagnoli), p.sum}.String()
}

// String writes offset, start, length, checksum and head.
func (p place) String() string {
	return fmt.Sprintf("%d:%d:%d:%08x:%s", p.offset, p.start, p.length, p.sum, p.head)
}

func parsePlace(s string) (p place, ok bool) {
	part := strings.Split(s, ":")
	if len(part) != 5 {
		return p, false
	}
	var errs [4]error
	var sum uint64
	p.offset, errs[0] = strconv.ParseInt(part[0], 10, 64)
	p.start, errs[1] = strconv.ParseInt(part[1], 10, 64)
	p.length, errs[2] = strconv.Atoi(part[2])
	sum, errs[3] = strconv.ParseUint(part[3], 16, 32)
	p.sum, p.head = uint32(sum), part[4]
	valid := p.start >= 0 && p.length >= 0 && p.length <= headSize && p.offset >= p.start+int64(p.length) && (p.offset >= headSize) == (p.head != "")
	return p, errors.Join(errs[:]...) == nil && valid
}

// verdict is what a file says to a place.
type verdict uint8

const (
	holds   verdict = iota // the file has been read up to there
	shorter                // it has less than that
	differs                // it is another file
)

func (in *input) verify(p place, id *identity) (verdict, error) {
	if p.head != "" && p.head != id.sum {
		return differs, nil // a file that has become shorter than its head is another one
	}
	size, err := in.size()
	if err != nil {
		return differs, err
	}
	if size >= 0 && size < p.offset {
		return shorter, nil
	}
	r, err := in.from(p.start)
	if err == nil {
		proof := make([]byte, p.length)
		if _, err = io.ReadFull(r, proof); err == nil && crc32.Checksum(proof, castagnoli) != p.sum {
			return differs, nil
		}
	}
	if err == nil && in.packed {
		_, err = io.CopyN(io.Discard, r, p.offset-p.start-int64(p.length))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return shorter, nil
	}
	return holds, err
}

// identify finds which file this is and how far it was read.
func (s *Source) identify(ctx context.Context, in *input, head []byte) (*identity, int64, error) {
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return nil, 0, fmt.Errorf("%s is UTF-16: leat reads UTF-8", in.name)
	}
	for n := 0; ; n++ {
		id := newIdentity(key(head, n), head)
		before := s.known[id.key]
		if before != nil && !before.gone {
			continue // this number is another file's
		}
		value, err := s.place(ctx, id, before)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: read its place: %w", in.name, err)
		}
		p, ok := parsePlace(value)
		if value == "" || !ok {
			s.known[id.key] = id
			return id, 0, nil
		}
		v, err := in.verify(p, id)
		switch {
		case err != nil:
			return nil, 0, fmt.Errorf("%s: %w", in.name, err)
		case v == holds:
			id.sent = value
		case v == shorter && p.head != "":
			s.log.Warn("file: shorter than what was read of it before: it is read from its start", "path", in.name, "read", p.offset)
			p.offset = 0
		default:
			continue // another file that begins alike
		}
		s.known[id.key] = id
		return id, p.offset, nil
	}
}

// place gives what was sent of the file in this run, else what was committed in earlier ones.
func (s *Source) place(ctx context.Context, id, before *identity) (string, error) {
	switch {
	case before != nil:
		return before.sent, nil
	case s.env.Cursor == nil:
		return "", nil
	}
	return s.env.Cursor(ctx, id.key)
}
