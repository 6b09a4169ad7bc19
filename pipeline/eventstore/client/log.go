package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

// Bounds of one request of a Commit; what is more goes in several.
const (
	commitUnits = 1000
	commitBytes = 4 << 20
	maxEvent    = 64 << 20
)

// Commit implements eventstore.Log. Units go in as many requests as they need, in their order; each request is one call
// of the daemon's store. A request whose outcome is unknown is repeated; ids make that harmless, and what had been
// written is Repeated then. Within, Outbox and a fence do not travel.
func (c *Client) Commit(ctx context.Context, units []*eventstore.Unit, o eventstore.CommitOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.life.Err() != nil {
		return eventstore.ErrClosed
	}
	if o.Fence != nil {
		return fmt.Errorf("client: a fence does not travel: %w", errors.ErrUnsupported)
	}
	for _, u := range units {
		if u.Within != nil || len(u.Outbox) > 0 {
			return fmt.Errorf("client: Within and Outbox do not travel: %w", errors.ErrUnsupported)
		}
		u.Result = eventstore.Result{}
	}
	for len(units) > 0 {
		encoded, size := []json.RawMessage{}, 0
		n := 0
		for ; n < len(units) && n < commitUnits && (n == 0 || size < commitBytes); n++ {
			if tooLarge(units[n]) {
				break
			}
			b, err := wire.Line(wire.UnitWritten(units[n]))
			if err != nil {
				return err
			}
			encoded, size = append(encoded, b), size+len(b)
		}
		if n == 0 {
			units[0].Result = eventstore.Result{Status: eventstore.Refused, Err: fmt.Errorf("client: %w", eventstore.ErrTooLarge)}
			n = 1
		} else if err := c.commit(ctx, units[:n], encoded, o.Ordered); err != nil {
			return err
		}
		if o.Ordered {
			for _, u := range units[:n] {
				if u.Result.Status == eventstore.Refused {
					return nil // those behind it stay untried
				}
			}
		}
		units = units[n:]
	}
	return nil
}

func tooLarge(u *eventstore.Unit) bool {
	for i := range u.Appends {
		for j := range u.Appends[i].Events {
			if e := &u.Appends[i].Events[j]; len(e.Data) > maxEvent || len(e.Raw) > maxEvent {
				return true
			}
		}
	}
	return false
}

func (c *Client) commit(ctx context.Context, units []*eventstore.Unit, encoded []json.RawMessage, ordered bool) error {
	var out wire.Results
	err := c.call(ctx, http.MethodPost, c.path("commit"), nil, wire.Commit{Ordered: ordered, Units: encoded}, &out, true)
	var no *refusal
	if errors.As(err, &no) && no.status == http.StatusRequestEntityTooLarge {
		// Beyond what this key may send in one request: in halves, down to a unit that is too large by itself.
		if len(units) == 1 {
			units[0].Result = eventstore.Result{Status: eventstore.Refused, Err: fmt.Errorf("%w: %w", eventstore.ErrTooLarge, err)}
			return nil
		}
		half := len(units) / 2
		if err := c.commit(ctx, units[:half], encoded[:half], ordered); err != nil {
			return err
		}
		if ordered && units[half-1].Result.Status != eventstore.Done && units[half-1].Result.Status != eventstore.Repeated {
			return nil
		}
		return c.commit(ctx, units[half:], encoded[half:], ordered)
	}
	if err != nil {
		return err
	}
	if len(out.Results) != len(units) {
		return fmt.Errorf("client: %d results for %d units", len(out.Results), len(units))
	}
	for i := range out.Results {
		if units[i].Result, err = out.Results[i].Back(); err != nil {
			return err
		}
	}
	return nil
}

// ReadStream reads a stream. A stream that does not exist gives nothing.
func (c *Client) ReadStream(ctx context.Context, s event.Stream, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	if s.IsZero() {
		return func(func(*event.Recorded, error) bool) {}
	}
	return c.read(ctx, url.Values{"of_type": {s.Type}, "of_id": {s.ID}}, o, func(r *event.Recorded) int64 { return r.Revision })
}

// ReadAll reads the log.
func (c *Client) ReadAll(ctx context.Context, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	return c.read(ctx, url.Values{}, o, func(r *event.Recorded) int64 { return r.Position })
}

// read goes on behind the last event where the connection breaks.
func (c *Client) read(ctx context.Context, base url.Values, o eventstore.ReadOptions, place func(*event.Recorded) int64) iter.Seq2[*event.Recorded, error] {
	return func(yield func(*event.Recorded, error) bool) {
		o, failed := o, 0
		for {
			q := reading(o)
			for k, v := range base {
				q[k] = v
			}
			from, last, n := o.From, int64(0), int64(0)
			err := c.list(ctx, c.path("events"), q, func(line []byte) (bool, error) {
				var w wire.Exact
				if err := json.Unmarshal(line, &w); err != nil {
					return false, fmt.Errorf("client: the daemon's answer: %w", err)
				}
				r, err := w.Back()
				if err != nil {
					return false, fmt.Errorf("client: the daemon's answer: %w", err)
				}
				last, n = place(&r), n+1
				return yield(&r, nil), nil
			})
			if err == nil {
				return
			}
			if n > 0 && (last > from || o.Backwards && last < from) {
				failed = 0 // it went on
			}
			if failed++; failed >= c.attempts || !c.passes(err) || !pause(ctx, failed, err) {
				yield(nil, c.closed(err))
				return
			}
			if n == 0 {
				continue
			}
			if o.Backwards {
				o.From = last - 1
			} else {
				o.From = last + 1
			}
			if o.Max > 0 {
				o.Max -= n
			}
			if o.From == 0 || o.Max == 0 && n > 0 && q.Has("max") || o.To > 0 && (!o.Backwards && o.From > o.To || o.Backwards && o.From < o.To) {
				return // all that was asked for had come
			}
		}
	}
}

func reading(o eventstore.ReadOptions) url.Values {
	q := filtering(o.Filter)
	putNumber(q, "from", o.From)
	putNumber(q, "to", o.To)
	putNumber(q, "max", o.Max)
	if o.Backwards {
		q.Set("backwards", "true")
	}
	putTime(q, "since", o.SinceTime)
	return q
}

func filtering(f eventstore.Filter) url.Values {
	return url.Values{"form": {"exact"}, "type": f.Types, "stream_type": f.StreamTypes, "origin": f.Origins}
}

// silence is how long a subscription may be without a sign of life: three heartbeats of the daemon.
const silence = 45 * time.Second

// Subscribe implements eventstore.Log. It connects again where the connection breaks, behind the last page; an error
// comes after as many attempts without a page as WithAttempts says.
func (c *Client) Subscribe(ctx context.Context, o eventstore.SubscribeOptions) iter.Seq2[eventstore.Page, error] {
	return func(yield func(eventstore.Page, error) bool) {
		o, failed := o, 0
		for ctx.Err() == nil {
			q := filtering(o.Filter)
			putNumber(q, "after", o.After)
			putNumber(q, "max_events", int64(min(o.MaxEvents, 10_000)))
			putNumber(q, "max_bytes", int64(min(o.MaxBytes, 64<<20)))
			listening, cancel := context.WithCancel(ctx)
			quiet := time.AfterFunc(silence, cancel)
			over := false
			err := c.list(listening, c.path("subscribe"), q, func(line []byte) (bool, error) {
				quiet.Stop() // not while the page is in hand
				defer quiet.Reset(silence)
				if len(line) == 0 {
					return true, nil
				}
				p, err := pageBack(line)
				if err != nil {
					return false, err
				}
				failed, o.After = 0, p.Through
				over = !yield(p, nil)
				return !over, nil
			})
			silent := !quiet.Stop() && ctx.Err() == nil
			cancel()
			switch {
			case over || ctx.Err() != nil:
				return
			case err == nil:
				err = fmt.Errorf("%w: the daemon has ended the subscription", errBroken)
			case silent && c.life.Err() == nil:
				err = fmt.Errorf("%w: nothing came for %s", errBroken, silence)
			}
			if failed++; failed >= c.attempts || !c.passes(err) || !pause(ctx, failed, err) {
				if ctx.Err() == nil {
					yield(eventstore.Page{}, c.closed(err))
				}
				return
			}
		}
	}
}

func pageBack(line []byte) (eventstore.Page, error) {
	var w wire.Page
	if err := json.Unmarshal(line, &w); err != nil {
		return eventstore.Page{}, fmt.Errorf("client: the daemon's answer: %w", err)
	}
	p := eventstore.Page{Through: w.Through, Head: w.Head, Events: make([]event.Recorded, len(w.Events))}
	for i, raw := range w.Events {
		var e wire.Exact
		err := json.Unmarshal(raw, &e)
		if err == nil {
			p.Events[i], err = e.Back()
		}
		if err != nil {
			return p, fmt.Errorf("client: the daemon's answer: %w", err)
		}
	}
	return p, nil
}
