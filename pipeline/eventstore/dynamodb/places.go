package dynamodb

import (
	"encoding/binary"
	"fmt"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// place is where a stream's event is.
type place struct {
	position int64
	item     int64  // the position of the item that holds it
	hash     uint32 // of the event's id
}

// appendPlaces writes places down: the distance from the one before, the one from its item, and the hash.
func appendPlaces(b []byte, ps []place) []byte {
	last := int64(0)
	for _, p := range ps {
		b = binary.AppendUvarint(b, uint64(p.position-last))
		b = binary.AppendUvarint(b, uint64(p.position-p.item))
		b = binary.LittleEndian.AppendUint32(b, p.hash)
		last = p.position
	}
	return b
}

func readPlaces(b []byte) ([]place, error) {
	var out []place
	last := int64(0)
	for len(b) > 0 {
		step, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, fmt.Errorf("%w: a stream's places cannot be read", eventstore.ErrCorrupt)
		}
		back, m := binary.Uvarint(b[n:])
		if m <= 0 || len(b) < n+m+4 {
			return nil, fmt.Errorf("%w: a stream's places cannot be read", eventstore.ErrCorrupt)
		}
		last += int64(step)
		out = append(out, place{last, last - int64(back), binary.LittleEndian.Uint32(b[n+m:])})
		b = b[n+m+4:]
	}
	return out, nil
}

// hashID is what ids are looked up by: FNV-1a, 32 bits. Ids of one hash are told apart by their events.
func hashID(id string) uint32 {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return h
}
