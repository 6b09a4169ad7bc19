package dynamodb

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/leatdev/leat/pipeline/event"
)

// race is what a writer knows of others on the same log.
//
// Whoever has committed knows the log's end half a round trip later, others only when they have asked for it; so a writer
// that goes on at once wins every time, and the others wait for ever. Therefore, while there are others, a writer looks
// where the log ends before it writes, and rests after a commit of its own, for about a round trip and a half where there is
// one other: then the look of each falls behind the commit of the other, and hardly a transaction is in vain. It does so less and less while nobody
// takes the room. A writer that has met nobody rests once in 64 commits without a pause, so that it meets who is there.
type race struct {
	name   string               // begins the nonces of its transactions
	trip   time.Duration        // of a commit, about
	others map[string]time.Time // when a commit of another was seen last, by name
	last   time.Time            // of these
	streak int                  // own commits since
	own    time.Time            // the last of them
}

// nameBytes are those of a writer's name.
const nameBytes = 2

func newRace() race { return race{name: nonce(nameBytes), others: map[string]time.Time{}} }

// nonce marks the items of one transaction: whose they are, and which.
func (r *race) nonce() string { return r.name + nonce(6) }

const (
	// othersFor is how long a writer remembers others.
	othersFor = 10 * time.Second
	// eager is after how many commits of its own in a row a writer goes on at once, but for every eighth.
	eager, courtesy, alone = 3, 8, 64
	// firstTrip is what a commit is thought to take before one was made, mostTrip the longest that is believed.
	firstTrip, mostTrip = 4 * time.Millisecond, 100 * time.Millisecond
)

// met notes a commit of another by its nonce.
func (r *race) met(nonce string, now time.Time) {
	name := nonce[:min(len(nonce), 2*nameBytes)]
	if name == r.name {
		return // one of ours whose answer was lost
	}
	for other, seen := range r.others {
		if now.Sub(seen) > othersFor {
			delete(r.others, other)
		}
	}
	r.others[name], r.last, r.streak = now, now, 0
}

// won notes a commit of one's own and what it took.
func (r *race) won(took time.Duration) {
	r.streak++
	r.own = time.Now()
	if r.trip == 0 {
		r.trip = took
	}
	r.trip = min((7*r.trip+took)/8, mostTrip)
}

func (r *race) crowded(now time.Time) bool {
	return len(r.others) > 0 && now.Sub(r.last) < othersFor
}

// room is how long still to leave others before the next commit.
func (r *race) room(now time.Time) time.Duration {
	switch {
	case r.streak == 0:
		return 0
	case !r.crowded(now) && r.streak%alone != 0:
		return 0
	case r.crowded(now) && r.streak > eager && r.streak%courtesy != 0:
		return 0
	}
	d := r.trip/2 + time.Duration(max(1, len(r.others)))*r.trip + rand.N(r.trip/4+1)
	if r.streak <= eager {
		d >>= r.streak - 1
	} else {
		d *= 2 // whoever waits has not been able to follow
	}
	return d - now.Sub(r.own)
}

// looks reports whether to ask for the log's end before the next commit.
func (r *race) looks(now time.Time) bool { return r.crowded(now) && r.streak <= eager }

// lost is how long to wait after so many lost races in a row: not at all at first, as the winner leaves room, and never
// long, as room that comes would be missed.
func (r *race) lost(times int) time.Duration {
	if times < 2 {
		return 0
	}
	trip := r.trip
	if trip == 0 {
		trip = firstTrip
	}
	return rand.N(trip << min(times/4, 2))
}

// catchUp moves the writer's end over what others have committed, and forgets the streams that they have written.
func (w *writer) catchUp(ctx context.Context) (moved bool, err error) {
	from := w.end.position
	e, err := w.s.advance(ctx, w.end, func(i item) {
		w.race.met(text(i, "w"), time.Now())
		name := event.Stream{Type: unescape(text(i, "st")), ID: unescape(text(i, "si"))}
		if old := w.streams[name]; old != nil {
			w.places -= len(old.tail) + len(old.older)
			delete(w.streams, name)
		}
	})
	if err != nil {
		w.forget()
		return false, err
	}
	w.end = e
	if e.position == from {
		return false, nil
	}
	w.s.ends.Publish(e.position, e.committed)
	return true, nil
}
