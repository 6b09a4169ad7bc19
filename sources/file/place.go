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
	"slices"
	"strconv"
	"strings"
)

// headSize is how much of a file's beginning tells it from others.
const headSize = 1024

// identity is one file of this run, known by what it holds and not by name, device or inode.
//
// A place is kept under a key and with proof. From headSize bytes on the key is a hash of the first headSize bytes; for
// places before that it is a hash of the first line, since that does not change while the file grows. The proof is a
// checksum of the line before the place (of everything before it in the first headSize bytes). Files that begin alike
// have the same key: n numbers them, and the proof tells which is which.
type identity struct {
	head []byte // as far as it was read; never written to, only appended to
	n    int
	gone bool   // truncated or removed: another file may go on in its place
	sent string // the place behind the last event that was sent
}

func newIdentity(head []byte, n int) *identity {
	return &identity{head: append(make([]byte, 0, headSize), head...), n: n}
}

// grow adds bytes of the file that were read at pos.
func (id *identity) grow(b []byte, pos int64) {
	have := int64(len(id.head))
	if have >= headSize || pos > have || pos+int64(len(b)) <= have {
		return
	}
	b = b[have-pos:]
	id.head = append(id.head, b[:min(len(b), headSize-len(id.head))]...)
}

func firstLine(head []byte) []byte {
	if i := bytes.IndexByte(head, '\n'); i >= 0 {
		head = head[:i]
	}
	return bytes.TrimSuffix(head, []byte("\r"))
}

// key is what a place at an offset is kept under.
func key(head []byte, n int, offset int64) string {
	what, prefix := firstLine(head), "line:"
	if offset >= headSize {
		what, prefix = head[:headSize], "head:"
	}
	sum := sha256.Sum256(what)
	k := prefix + hex.EncodeToString(sum[:16])
	if n > 0 {
		k += "#" + strconv.Itoa(n)
	}
	return k
}

// place is an offset with its proof: the checksum of the bytes from start on.
type place struct {
	offset, start int64
	length        int
	sum           uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// value writes the place behind an event.
func (p *pack) value(i int) string {
	at := p.spans[i]
	if at.end < headSize && int64(len(p.head)) >= at.end {
		return place{at.end, 0, int(at.end), crc32.Checksum(p.head[:at.end], castagnoli)}.String()
	}
	line := p.events[i].Raw
	line = line[:min(len(line), headSize)]
	return place{at.end, at.start, len(line), crc32.Checksum(line, castagnoli)}.String()
}

// String writes offset, start, length and checksum.
func (p place) String() string {
	return fmt.Sprintf("%d:%d:%d:%08x", p.offset, p.start, p.length, p.sum)
}

func parsePlace(s string) (p place, ok bool) {
	part := strings.Split(s, ":")
	if len(part) != 4 {
		return p, false
	}
	var errs [4]error
	var sum uint64
	p.offset, errs[0] = strconv.ParseInt(part[0], 10, 64)
	p.start, errs[1] = strconv.ParseInt(part[1], 10, 64)
	p.length, errs[2] = strconv.Atoi(part[2])
	sum, errs[3] = strconv.ParseUint(part[3], 16, 32)
	p.sum = uint32(sum)
	valid := p.start >= 0 && p.length >= 0 && p.length <= headSize && p.offset >= p.start+int64(p.length)
	return p, errors.Join(errs[:]...) == nil && valid
}

// verdict is what a file says to a place.
type verdict uint8

const (
	holds   verdict = iota // the file has been read up to there
	shorter                // it has less than that
	differs                // it is another file
)

func (in *input) verify(p place) (verdict, error) {
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
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
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
		before, free := s.claim(head, n)
		if !free {
			continue
		}
		id := newIdentity(head, n)
		adopt := func() {
			s.known = slices.DeleteFunc(s.known, func(k *identity) bool { return k == before })
			s.known = append(s.known, id)
		}
		value, err := s.place(ctx, id, before)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: read its place: %w", in.name, err)
		}
		p, ok := parsePlace(value)
		if !ok {
			adopt()
			return id, 0, nil
		}
		v, err := in.verify(p)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", in.name, err)
		}
		switch {
		case v == holds:
			id.sent = value
		case v == shorter && p.offset >= headSize:
			s.log.Warn("file: shorter than what was read of it before: it is read from its start", "path", in.name, "read", p.offset)
			p.offset = 0
		default:
			continue // another file that begins alike
		}
		adopt()
		return id, p.offset, nil
	}
}

// claim says whether a file that begins with head may be number n, and which file of this run it goes on with.
func (s *Source) claim(head []byte, n int) (before *identity, free bool) {
	for _, id := range s.known {
		if id.n != n || !bytes.Equal(firstLine(id.head), firstLine(head)) {
			continue
		}
		if k := min(len(id.head), len(head)); !id.gone || !bytes.Equal(id.head[:k], head[:k]) {
			return nil, false
		}
		return id, true
	}
	return nil, true
}

// place gives what was sent of the file in this run, else what was committed in earlier ones.
func (s *Source) place(ctx context.Context, id, before *identity) (string, error) {
	if before != nil && before.sent != "" {
		return before.sent, nil
	}
	if s.env.Cursor == nil {
		return "", nil
	}
	if len(id.head) >= headSize {
		if v, err := s.env.Cursor(ctx, key(id.head, id.n, headSize)); v != "" || err != nil {
			return v, err
		}
	}
	return s.env.Cursor(ctx, key(id.head, id.n, 0))
}
