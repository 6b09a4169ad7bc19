package bustail

import (
	"context"
	"errors"
	"fmt"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/leatdev/leat/pipeline/rawjson"
)

// What a probe is on the bus.
const (
	ProbeSource = "leat.tail"
	ProbeType   = "leat tail probe"
)

// probe tells when the rule has begun to act: it puts an event every two seconds until one comes back.
type probe struct {
	name  string
	first time.Time
	last  time.Time
	after time.Duration // how long it took; 0: it is not back
}

const probeEvery = 2 * time.Second

func (p *probe) pattern() string {
	return fmt.Sprintf(`{"source":[%q],"detail":{"tail":[%q]}}`, ProbeSource, p.name)
}

// Live tells how long the rule took to act; ok is whether it is known to.
func (t *Tail) Live() (after time.Duration, ok bool) { return t.probe.after, t.probe.after > 0 }

func (p *probe) pending(o *Options) bool { return o.Probe && p.after == 0 }

func (p *probe) wait() time.Duration {
	if !p.first.IsZero() && p.after == 0 {
		return probeEvery
	}
	return wait
}

func (p *probe) send(ctx context.Context, t *Tail) error {
	now := t.o.Now()
	if !p.pending(&t.o) || now.Sub(p.last) < probeEvery {
		return nil
	}
	p.last = now
	if p.first.IsZero() {
		p.first = now
	}
	err := again(ctx, func() error {
		out, err := t.bus.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
			EventBusName: &t.o.Bus, Source: awssdk.String(ProbeSource), DetailType: awssdk.String(ProbeType),
			Detail: awssdk.String(fmt.Sprintf(`{"tail":%q}`, t.Name)),
		}}})
		if err == nil && out.FailedEntryCount > 0 {
			err = errors.New(awssdk.ToString(out.Entries[0].ErrorCode) + ": " + awssdk.ToString(out.Entries[0].ErrorMessage))
		}
		return err
	})
	return explain(err, "probe of bus "+t.o.Bus, "events:PutEvents")
}

// is reports whether an event is a probe, of this watch or another.
func (p *probe) is(body []byte, now func() time.Time) bool {
	source, _ := rawjson.Get(body, "source")
	kind, _ := rawjson.Get(body, "detail-type")
	if string(source) != `"`+ProbeSource+`"` || string(kind) != `"`+ProbeType+`"` {
		return false
	}
	if of, _ := rawjson.Get(body, "detail", "tail"); string(of) == `"`+p.name+`"` && p.after == 0 {
		p.after = max(now().Sub(p.first), time.Millisecond)
	}
	return true
}
