package dynamodb

import (
	"context"
	"fmt"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// stream is a stream's head, with the places of its events as far as they are known.
type stream struct {
	revision, position int64
	created, updated   time.Time
	// from is the revision of the first place of tail, which is in the head's item.
	from int64
	tail []place
	// older are the places before the tail; complete says that they were read.
	older    []place
	complete bool
}

// tailPlaces is how many places a head holds before they become an item of their own: so a head stays within 1 KB,
// which is one write unit.
const tailPlaces = 90

func streamOf(i item) (*stream, error) {
	s := &stream{
		revision: number(i, "r"), position: number(i, "p"), from: number(i, "f"),
		created: time.UnixMicro(number(i, "cr")).UTC(), updated: time.UnixMicro(number(i, "up")).UTC(),
	}
	ns := number(i, "ns")
	s.created, s.updated = s.created.Add(time.Duration(ns/1000)), s.updated.Add(time.Duration(ns%1000))
	var err error
	s.tail, err = readPlaces(blob(i, "k"))
	s.complete = s.from == 1
	return s, err
}

// item makes the head's item.
func (st *stream) item(name event.Stream) item {
	i := key(streamPK(name), headSK)
	i["r"], i["p"], i["f"], i["cr"], i["up"] = num(st.revision), num(st.position), num(st.from), num(st.created.UnixMicro()), num(st.updated.UnixMicro())
	// Times of leat's own are whole microseconds; those of a shared table are not.
	if ns := st.created.Nanosecond()%1000*1000 + st.updated.Nanosecond()%1000; ns > 0 {
		i["ns"] = num(int64(ns))
	}
	if len(st.tail) > 0 {
		i["k"] = bin(appendPlaces(nil, st.tail))
	}
	i[indexPK], i[indexSK] = str(indexed(escape(name.Type))), str(indexed(escape(name.ID)))
	return i
}

// indexed bounds what an index takes: its sort key holds 1,024 bytes. Names are at most that long, escaped ones may not be.
func indexed(s string) string { return s[:min(len(s), 1024)] }

// chunks reads the places before the tail.
func (s *Store) chunks(ctx context.Context, name event.Stream, st *stream) error {
	for wait := s.settling(); !st.complete; {
		st.older = nil
		err := s.pages(ctx, query{pk: streamPK(name), cond: "sk > :head", values: item{":head": str(headSK)}}, func(page []item) (bool, error) {
			for _, i := range page {
				first, _ := unpad(text(i, sk))
				if first >= st.from || first != int64(len(st.older))+1 {
					return false, nil
				}
				places, err := readPlaces(blob(i, "k"))
				if err != nil {
					return false, err
				}
				st.older = append(st.older, places...)
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		if st.complete = int64(len(st.older)) == st.from-1; !st.complete && !wait.again(ctx) {
			if err := ctx.Err(); err != nil {
				return err
			}
			return fmt.Errorf("%w: the places of the events of stream %s are missing from revision %d on", eventstore.ErrCorrupt, name, len(st.older)+1)
		}
	}
	return nil
}

// at gives the place of a revision, which is known.
func (st *stream) at(revision int64) place {
	if revision >= st.from {
		return st.tail[revision-st.from]
	}
	return st.older[int64(len(st.older))-(st.from-revision)]
}

// find gives the revisions whose ids may be id.
func (st *stream) find(id string) (out []int64) {
	h := hashID(id)
	for i, p := range st.older {
		if p.hash == h {
			out = append(out, st.from-int64(len(st.older))+int64(i))
		}
	}
	for i, p := range st.tail {
		if p.hash == h {
			out = append(out, st.from+int64(i))
		}
	}
	return out
}
