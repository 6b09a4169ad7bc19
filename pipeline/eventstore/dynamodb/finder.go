package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// The finder looks for what the Lambda has written, in the index of heads, in one daemon at a time. Three nets lie
// behind each other:
//
//   - each poll asks every known type for the heads that were updated since the poll before, less a few seconds, for
//     clocks that differ and an index that lags;
//   - once a minute it asks less ten minutes;
//   - a sweep goes over the whole index, for types that nobody knows yet and for what the other two have missed. A
//     table of a megabyte of heads (about 7,000 streams) is swept every ten polls, a larger one as often as keeps the cost
//     the same.
//
// The lease keeps the cost down, no more: what is found is taken in under a condition, and may be found twice.
type finder struct {
	lease  eventstore.Lease
	owner  string
	types  map[string]bool
	seen   map[string]int64 // by stream id: the revision that is taken in
	polled time.Time        // when the last poll began
	wide   time.Time        // when the last one of a minute did
	swept  time.Time        // when the last complete sweep began
	next   time.Time        // when the next sweep is due
	warned map[string]bool
	count  eventstore.CaughtUp // of one sweep
}

const (
	findLease  = 30 * time.Second
	findSlack  = 10 * time.Second
	findWide   = time.Minute
	findBack   = 10 * time.Minute
	sweepBack  = time.Hour
	sweepPolls = 10
	mostSeen   = 1 << 20
)

// sharedDocs is the kind of the document that says how far a shared table was swept.
const sharedDocs = "shared"

type sweptDoc struct{ Swept time.Time }

func newFinder() finder {
	return finder{owner: uuid.NewString(), types: map[string]bool{}, seen: map[string]int64{}, warned: map[string]bool{}}
}

func (h *shared) leaseName() string { return sharedDocs + " " + h.table }

// run finds until it is stopped, and gives the lease back.
func (h *shared) run(ctx context.Context) {
	defer close(h.stopped)
	tick := time.NewTicker(h.poll)
	defer tick.Stop()
	f := &h.finder
	said, at := "", time.Time{} // the last warning
	defer func() {
		if f.lease.Epoch > 0 {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := h.s.Release(ctx, f.lease); err != nil {
				h.s.log.Debug("the lease of the shared table could not be given back", "err", err)
			}
		}
	}()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := h.find(ctx)
		switch {
		case ctx.Err() != nil:
		case err == nil && said != "":
			said = ""
			h.s.log.Info("the shared table is looked through again", "table", h.table)
		case err != nil && (err.Error() != said || time.Since(at) > findWide):
			said, at = err.Error(), time.Now()
			h.s.log.Warn("the shared table could not be looked through, or not all of it taken in", "table", h.table, "err", err)
		}
	}
}

// lasting reports errors of streams that no repeat mends by itself.
func lasting(err error) bool {
	return errors.Is(err, eventstore.ErrCorrupt) || errors.Is(err, eventstore.ErrTooLarge)
}

// find is one poll, with a sweep where one is due.
func (h *shared) find(ctx context.Context) error {
	f := &h.finder
	mine, err := h.hold(ctx)
	if err != nil || !mine {
		return err
	}
	now := h.s.now()
	if !now.Before(f.next) {
		return h.sweep(ctx, f.swept.Add(-sweepBack))
	}
	since := f.polled.Add(-findSlack)
	if now.Sub(f.wide) >= findWide {
		since, f.wide = now.Add(-findBack), now
	}
	var failures []error
	for _, t := range slices.Sorted(maps.Keys(f.types)) {
		err := h.index(ctx, &t, since, func(heads []sharedHead) error {
			if err := h.missing(ctx, heads); err != nil {
				failures = append(failures, err)
			}
			return ctx.Err()
		})
		failures = append(failures, err)
	}
	if err = some(failures); err == nil || lasting(err) { // a stream that cannot be taken in is the sweeps'
		f.polled = now
	}
	return err
}

// hold takes the lease, or keeps it. Who takes it anew begins with a sweep.
func (h *shared) hold(ctx context.Context) (bool, error) {
	f := &h.finder
	now := h.s.now()
	if f.lease.Epoch > 0 && now.Before(f.lease.Until.Add(-2*findLease/3)) {
		return true, nil
	}
	l, err := h.s.Acquire(ctx, h.leaseName(), f.owner, findLease)
	if errors.Is(err, eventstore.ErrHeld) {
		f.lease = eventstore.Lease{}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if l.Epoch != f.lease.Epoch {
		var d sweptDoc
		err := h.s.view(ctx, func(c *change) error {
			_, err := load(ctx, c, docKey{sharedDocs, h.table}, &d)
			return err
		})
		if err != nil {
			return false, err
		}
		f.swept, f.next = d.Swept, time.Time{}
	}
	f.lease = l
	return true, nil
}

// sweep goes over the whole index, and takes in what was updated since a time. What could not be taken in leaves the
// mark where it was, so that the next sweep comes over it again.
func (h *shared) sweep(ctx context.Context, since time.Time) error {
	f := &h.finder
	began := h.s.now()
	f.count = eventstore.CaughtUp{}
	pages := 0
	var failures []error
	types := map[string]bool{}
	err := h.index(ctx, nil, time.Time{}, func(heads []sharedHead) error {
		pages++
		var late []sharedHead
		for _, head := range heads {
			f.count.Streams++
			types[head.name.Type] = true
			// By a clock that is far behind, what was updated just now looks old.
			at, known := f.seen[head.name.ID]
			if !head.updated.Before(since) || known && at < head.revision {
				late = append(late, head)
			}
		}
		if err := h.missing(ctx, late); err != nil {
			failures = append(failures, err)
		}
		return ctx.Err()
	})
	f.types = types
	f.next = began.Add(time.Duration(max(1, pages)*sweepPolls) * h.poll)
	failures = append(failures, err)
	if err = some(failures); err == nil || lasting(err) {
		f.polled, f.wide = began, began
	}
	if err != nil {
		return err
	}
	f.swept = began
	return h.s.update(ctx, func(c *change) error {
		var d sweptDoc
		k := docKey{sharedDocs, h.table}
		if _, err := load(ctx, c, k, &d); err != nil {
			return err
		}
		if began.After(d.Swept.Add(sweepBack / 4)) { // the mark is for those who start; it need not be fresh
			d.Swept = began
			c.store(k, d)
		}
		return nil
	})
}

// index gives pages of heads: of one type from a time on, or, with no type, all in any order.
func (h *shared) index(ctx context.Context, of *string, since time.Time, fn func([]sharedHead) error) error {
	return h.indexPages(ctx, of, since, nil, func(items []item) (bool, error) {
		heads := make([]sharedHead, 0, len(items))
		for _, i := range items {
			head, err := readSharedHead(i)
			if err == nil && !h.names(head.name) {
				err = fmt.Errorf("dynamodb: stream %s of the shared table is left out: its id is no UUID as serverless-event-store makes them", head.name)
			}
			if err != nil {
				f := &h.finder
				f.count.LeftOut++
				if !f.warned[text(i, sharedPK)] {
					f.warned[text(i, sharedPK)] = true
					h.s.log.Warn("a stream is left out", "err", err)
				}
				continue
			}
			heads = append(heads, head)
		}
		return true, fn(heads)
	})
}

// indexPages gives pages of the index until fn has enough.
func (h *shared) indexPages(ctx context.Context, of *string, since time.Time, limit *int32, fn func([]item) (bool, error)) error {
	name := sharedIndex
	var start item
	for {
		var items []item
		var err error
		if of == nil {
			in := &dynamodb.ScanInput{TableName: &h.table, IndexName: &name, ExclusiveStartKey: start, Limit: limit, ReturnConsumedCapacity: h.s.counting()}
			err = h.s.again(ctx, "Scan", func(ctx context.Context) error {
				out, err := h.s.cfg.Client.Scan(ctx, in)
				if err == nil {
					items, start = out.Items, out.LastEvaluatedKey
					h.s.used("Scan", out.ConsumedCapacity)
				}
				return err
			})
		} else {
			in := &dynamodb.QueryInput{
				TableName: &h.table, IndexName: &name, ExclusiveStartKey: start, Limit: limit, ReturnConsumedCapacity: h.s.counting(),
				KeyConditionExpression: ptr(sharedType + " = :t AND " + sharedUpdated + " >= :since"),
				// Whole seconds without the Z that ends them sort before all fractions of theirs, however these are written.
				ExpressionAttributeValues: item{":t": str(*of), ":since": str(since.UTC().Format("2006-01-02T15:04:05"))},
			}
			err = h.s.again(ctx, "Query", func(ctx context.Context) error {
				out, err := h.s.cfg.Client.Query(ctx, in)
				if err == nil {
					items, start = out.Items, out.LastEvaluatedKey
					h.s.used("Query", out.ConsumedCapacity)
				}
				return err
			})
		}
		if err != nil {
			return err
		}
		if more, err := fn(items); err != nil || !more || len(start) == 0 {
			return err
		}
	}
}

// missing takes in what leat does not have of streams. One that cannot be taken in does not hold the others up.
func (h *shared) missing(ctx context.Context, heads []sharedHead) error {
	f := &h.finder
	if len(f.seen) > mostSeen {
		clear(f.seen)
	}
	var open []sharedHead
	for _, head := range heads {
		if f.seen[head.name.ID] < head.revision {
			open = append(open, head)
		}
	}
	var failures []error
	for part := range slices.Chunk(open, 100) {
		keys := make([]item, len(part))
		for n, head := range part {
			keys[n] = key(streamPK(head.name), headSK)
		}
		found, err := h.s.gets(ctx, keys)
		if err != nil {
			return err
		}
		have := map[string]int64{}
		for _, i := range found {
			have[text(i, pk)] = number(i, "r")
		}
		if err := h.takeInMany(ctx, part, have); err != nil {
			failures = append(failures, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return some(failures)
}

// takeInMany takes in streams of which leat has so much. Their beginnings share transactions; what is left of long
// ones follows, and of those for which somebody else was faster.
func (h *shared) takeInMany(ctx context.Context, heads []sharedHead, have map[string]int64) error {
	var failures []error
	for part := range slices.Chunk(heads, 24) {
		read := make([][]event.Event, len(part))
		errs := make([]error, len(part))
		var all sync.WaitGroup
		for lane := range readers {
			all.Go(func() {
				for n := lane; n < len(part); n += readers {
					if at := have[streamPK(part[n].name)]; at < part[n].revision {
						read[n], errs[n] = h.behind(ctx, part[n].name, at)
					}
				}
			})
		}
		all.Wait()
		var units []*eventstore.Unit
		of := make([][]*eventstore.Unit, len(part))
		for n, head := range part {
			of[n] = takeInUnits(head.name, have[streamPK(head.name)], read[n])
			units = append(units, of[n]...)
		}
		if len(units) > 0 {
			if err := h.s.enqueue(ctx, &request{ctx: ctx, units: units, takeIn: true, done: make(chan struct{})}); err != nil {
				return err
			}
		}
		for n, head := range part {
			at, err := have[streamPK(head.name)], errs[n]
			for _, u := range of[n] {
				if u.Result.Status == eventstore.Done {
					h.finder.count.Events += int64(len(u.Appends[0].Events))
				}
				if u.Result.Status == eventstore.Done || u.Result.Status == eventstore.Repeated {
					at = u.Result.Written[0].Last
				}
			}
			if err == nil && at < head.revision {
				var brought int64
				brought, err = h.takeIn(ctx, head.name, head.revision)
				h.finder.count.Events += brought
			}
			if err != nil {
				failures = append(failures, fmt.Errorf("dynamodb: stream %s of the shared table cannot be taken in: %w", head.name, err))
				continue
			}
			h.finder.seen[head.name.ID] = head.revision
		}
	}
	return some(failures)
}

// some joins a few of many errors.
func some(errs []error) error {
	const few = 5
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) > few {
		errs = append(errs[:few:few], fmt.Errorf("and %d more", len(errs)-few))
	}
	return errors.Join(errs...)
}

// readers is how many streams are read at a time.
const readers = 6

// CatchUp implements eventstore.Sharing.
func (s *Store) CatchUp(ctx context.Context) (eventstore.CaughtUp, error) {
	if s.shared == nil {
		return eventstore.CaughtUp{}, nil
	}
	if err := s.writable(ctx); err != nil {
		return eventstore.CaughtUp{}, err
	}
	// A finder of its own: the daemon's goes on beside it, and both may find the same.
	h := &shared{s: s, table: s.shared.table, poll: s.shared.poll, finder: newFinder()}
	err := h.sweep(ctx, time.Time{})
	return h.finder.count, s.reading(ctx, err)
}
