package pipeline

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/tap"
)

const tapped = `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - filter: data.amount > 1
      - append: { stream: "order/{{ data.order_id }}" }
      - project: { table: orders, key: { id: data.order_id }, add: { total: data.amount } }
      - name: big
        when: data.amount > 2
        forward: { catch: { name: out } }
`

// listen gathers samples, one a line, until the test's end.
func (r *rig) listen(o tap.Options) *[]string {
	r.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.Cleanup(cancel)
	samples, err := r.daemon.Tap(ctx, "p", o)
	if err != nil {
		r.Fatal(err)
	}
	got := &[]string{}
	go func() {
		for s := range samples {
			line := fmt.Sprintf("%s %s %s %s", s.Stage, s.Name, s.Outcome, s.Event.ID)
			if s.Relay != "" && s.Stage != tap.Relay {
				line += " in " + s.Relay
			}
			if s.Event.Position > 0 {
				line += fmt.Sprintf(" %s@%d", s.Event.Stream, s.Event.Revision)
			}
			*got = append(*got, line)
		}
	}()
	return got
}

func TestTap(t *testing.T) {
	run(t, tapped, func(r *rig) {
		f := r.start().feed()
		intake := r.listen(tap.Options{Stages: []string{"source", "step/filter", "append"}})
		table := r.listen(tap.Options{Stages: []string{"relay/project*"}})
		big := r.listen(tap.Options{Stages: []string{"*/big"}})
		f.send(order("e-1", "o-1", 1), order("e-2", "o-1", 2), order("e-3", "o-1", 3)).is("filtered committed committed")
		r.wait()
		same(r, "intake", *intake, []string{
			"source  received e-1", "step filter filtered e-1", "source  received e-2", "step filter passed e-2",
			"source  received e-3", "step filter passed e-3", "append order committed e-2 order/o-1@1", "append order committed e-3 order/o-1@2",
		})
		same(r, "table", *table, []string{"relay project orders delivered e-2 order/o-1@1", "relay project orders delivered e-3 order/o-1@2"})
		same(r, "forward", *big, []string{"step big passed e-3 in big order/o-1@2", "relay big delivered e-3 order/o-1@2"})
		r.finish()
		r.ok()
	})
}

func TestTapOfPoison(t *testing.T) {
	run(t, tapped, func(r *rig) {
		f := r.start().feed()
		poison := r.listen(tap.Options{Stages: []string{"poison"}})
		f.send("no json").is("poisoned")
		r.sink("out").refuse(func(id string) error {
			if id == "e-3" {
				return event.Poison(errRefused)
			}
			return nil
		})
		f.send(order("e-3", "o-1", 3)).is("committed")
		r.wait()
		same(r, "poison", *poison, []string{"poison source poisoned ", "poison big poisoned e-3 in p/big order/o-1@0"})
		r.finish()
	})
}

func TestTapOfWhatIsNotThere(t *testing.T) {
	run(t, tapped, func(r *rig) {
		r.start()
		_, err := r.daemon.Tap(t.Context(), "q", tap.Options{})
		var unknown *control.UnknownError
		if !errors.As(err, &unknown) || unknown.Have[0] != "p" {
			t.Errorf("%v does not name the pipelines", err)
		}
		if _, err := r.daemon.Tap(t.Context(), "p", tap.Options{Stages: []string{"steps"}}); err == nil {
			t.Error("there is no stage steps")
		}
		r.finish()
		r.ok()
	})
}
