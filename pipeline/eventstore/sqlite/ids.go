package sqlite

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// ids finds an event by stream and id over the whole log. It is a row of segments, each over the ids of one frozen tail
// (a small last one grows with the next): for each of 256 buckets by the hash's first byte, one row of leat_ids with the
// hashes in order, and a row with a Bloom filter (12 bits an id or more and four probes, so 0.7 % of unknown ids pass at most), by which
// ids that are not there, which is nearly all, are told without looking. A stream's ids are only in segments that reach
// behind its first event. So that a long log has no more than a few hundred segments, they grow with it.
type ids struct {
	segments []*segment // by base
	open     *segment   // written, not committed
	filters  int        // bytes of filters in memory
}

type segment struct {
	base    int64 // its name, and the position that offsets count from
	through int64 // the last position in it
	n       int64
	filter  []byte // nil: not in memory
}

// filterBytes bounds the filters in memory: 32 MiB are those of some 16 million events. Older segments are looked into
// without one, which takes some microseconds for each.
var filterBytes = 32 << 20

// Each entry is the hash, big endian so that bytes sort as hashes do, and the position's offset.
const entrySize = 12

const filterRow = -1 // the bucket of a segment's filter, behind its through and n

// load reads what segments there are; their filters follow when they are needed.
func (x *ids) load(ctx context.Context, c *conn) error {
	return c.each(ctx, "SELECT segment, substr(entries, 1, 16) FROM leat_ids WHERE bucket = -1 ORDER BY segment", func(row []driver.Value) (bool, error) {
		s := &segment{}
		s.base, _ = row[0].(int64)
		b, _ := row[1].([]byte)
		if len(b) < 16 {
			return false, fmt.Errorf("%w: segment %d of leat_ids", eventstore.ErrCorrupt, s.base)
		}
		s.through, s.n = int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))
		x.segments = append(x.segments, s)
		return true, nil
	})
}

// write writes the entries behind indexed, in the transaction under way.
func (x *ids) write(c *conn, entries []entry, indexed, through int64) error {
	s := &segment{base: indexed + 1, through: through}
	if n := len(x.segments); n > 0 {
		last := x.segments[n-1]
		// A last one that goes beyond indexed is of a start that was killed before it had written all the streams.
		if last.through > indexed || last.n+int64(len(entries)) <= max(int64(tailEvents), indexed/256) {
			old, err := last.entries(c)
			if err != nil {
				return err
			}
			entries, s.base, s.through = append(entries, old...), last.base, max(through, last.through)
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		switch {
		case a.hash < b.hash || a.hash == b.hash && a.position < b.position:
			return -1
		case a == b:
			return 0
		}
		return 1
	})
	entries = slices.Compact(entries)
	s.n = int64(len(entries))
	s.filter = make([]byte, filterSize(s.n))
	b := make([]byte, 0, len(entries)/128*entrySize)
	for from := 0; from < len(entries); {
		bucket := entries[from].hash >> 56
		b = b[:0]
		to := from
		for ; to < len(entries) && entries[to].hash>>56 == bucket; to++ {
			e := entries[to]
			b = binary.BigEndian.AppendUint64(b, e.hash)
			b = binary.BigEndian.AppendUint32(b, uint32(e.position-s.base))
			probe(e.hash, s.filter, func(p *byte, bit byte) bool { *p |= bit; return true })
		}
		if _, err := c.exec("INSERT OR REPLACE INTO leat_ids VALUES (?, ?, ?)", s.base, int64(bucket), b); err != nil {
			return err
		}
		from = to
	}
	meta := binary.BigEndian.AppendUint64(nil, uint64(s.through))
	meta = binary.BigEndian.AppendUint64(meta, uint64(s.n))
	if _, err := c.exec("INSERT OR REPLACE INTO leat_ids VALUES (?, ?, ?)", s.base, int64(filterRow), append(meta, s.filter...)); err != nil {
		return err
	}
	x.open = s
	return nil
}

// filterSize gives the bytes of a filter over n ids, a power of two.
func filterSize(n int64) int {
	size := 64
	for int64(size)*8 < 12*n {
		size *= 2
	}
	return size
}

// done takes the segment that was written for committed.
func (x *ids) done() {
	if n := len(x.segments); n > 0 && x.segments[n-1].base == x.open.base {
		x.filters -= len(x.segments[n-1].filter)
		x.segments[n-1] = x.open
	} else {
		x.segments = append(x.segments, x.open)
	}
	x.keep(x.open)
	x.open = nil
}

// keep counts a filter that came into memory, and lets go of the oldest where they are too many.
func (x *ids) keep(s *segment) {
	x.filters += len(s.filter)
	for _, old := range x.segments {
		if x.filters <= filterBytes {
			return
		}
		if old != s {
			x.filters -= len(old.filter)
			old.filter = nil
		}
	}
}

func (s *segment) entries(c *conn) (out []entry, err error) {
	err = c.each(context.Background(), "SELECT entries FROM leat_ids WHERE segment = ? AND bucket >= 0", func(row []driver.Value) (bool, error) {
		b, _ := row[0].([]byte)
		s.each(b, func(e entry) { out = append(out, e) })
		return true, nil
	}, s.base)
	return out, err
}

func (s *segment) each(b []byte, fn func(entry)) {
	for ; len(b) >= entrySize; b = b[entrySize:] {
		fn(entry{hash: binary.BigEndian.Uint64(b), position: s.base + int64(binary.BigEndian.Uint32(b[8:]))})
	}
}

// find gives the positions, not before first, of the events with the hash.
func (x *ids) find(ctx context.Context, c *conn, hash uint64, first int64) (positions []int64, err error) {
	for _, s := range slices.Backward(x.segments) {
		if s.through < first {
			break
		}
		if s.filter == nil && x.filters+filterSize(s.n) <= filterBytes {
			row, err := c.one(ctx, "SELECT substr(entries, 17) FROM leat_ids WHERE segment = ? AND bucket = -1", s.base)
			if err != nil {
				return nil, err
			}
			if row != nil {
				s.filter, _ = row[0].([]byte)
			}
			if n := len(s.filter); n < 64 || n&(n-1) != 0 {
				s.filter = nil
				return nil, fmt.Errorf("%w: the filter of segment %d of leat_ids", eventstore.ErrCorrupt, s.base)
			}
			x.filters += len(s.filter)
		}
		if s.filter != nil && !probe(hash, s.filter, func(p *byte, bit byte) bool { return *p&bit != 0 }) {
			continue
		}
		row, err := c.one(ctx, "SELECT entries FROM leat_ids WHERE segment = ? AND bucket = ?", s.base, int64(hash>>56))
		if err != nil {
			return nil, err
		}
		if row == nil {
			continue
		}
		b, _ := row[0].([]byte)
		key := binary.BigEndian.AppendUint64(nil, hash)
		at := sort.Search(len(b)/entrySize, func(i int) bool { return bytes.Compare(b[i*entrySize:i*entrySize+8], key) >= 0 })
		s.each(b[at*entrySize:], func(e entry) {
			if e.hash == hash && e.position >= first {
				positions = append(positions, e.position)
			}
		})
	}
	return positions, nil
}

// probe calls fn with the filter's bits of a hash until it says false.
func probe(hash uint64, filter []byte, fn func(p *byte, bit byte) bool) bool {
	mask := uint64(len(filter)*8 - 1)
	step := hash>>32 | 1
	for i := range uint64(4) {
		n := (hash + i*step) & mask
		if !fn(&filter[n>>3], 1<<(n&7)) {
			return false
		}
	}
	return true
}
