// Package awswatch lets leat tail watch AWS: buses through package bustail, queues through package peek. Importing it is enough; the sources
// of AWS do.
package awswatch

import (
	"context"
	"time"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/bustail"
	"github.com/leatdev/leat/pipeline/aws/peek"
	"github.com/leatdev/leat/pipeline/watch"
)

func init() { watch.Register(cloud{}) }

type cloud struct{}

func (cloud) Check(s watch.Settings) error { return settings(s).Check() }

func (cloud) CheckQueue(name string) error {
	_, err := aws.ParseQueue(name)
	return err
}

func (cloud) Policy() string { return bustail.Policy }

// attempts is how often a call is tried while AWS throttles or does not answer: somebody waits for it.
const attempts = 4

func (cloud) Dial(ctx context.Context, s watch.Settings) (watch.Session, error) {
	cfg, err := aws.Load(ctx, settings(s), nil, attempts)
	if err != nil {
		return nil, err
	}
	return &session{queues: aws.NewSQS(cfg), bus: aws.NewEventBridge(cfg), end: func() { aws.Close(cfg) }}, nil
}

func settings(s watch.Settings) aws.Settings {
	return aws.Settings{Region: s.Region, Endpoint: s.Endpoint, Profile: s.Profile}
}

func (cloud) Kind(err error) watch.Kind {
	switch aws.KindOf(err) {
	case aws.Denied, aws.Throttled:
		return watch.Denied
	case aws.Missing:
		return watch.Missing
	case aws.Unreachable:
		return watch.Unreachable
	case aws.Invalid:
		return watch.Invalid
	default:
		return watch.Failed
	}
}

type session struct {
	queues *aws.SQS
	bus    *aws.EventBridge
	end    func()
}

func (s *session) Bus(ctx context.Context, o watch.BusOptions) (watch.Bus, error) {
	t, err := bustail.Open(ctx, s.queues, s.bus, o)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (s *session) Buses(ctx context.Context) ([]string, error) { return bustail.Buses(ctx, s.bus) }

func (s *session) Sweep(ctx context.Context, now time.Time, buses ...string) (watch.Swept, error) {
	return bustail.Sweep(ctx, s.queues, s.bus, now, buses...)
}

func (s *session) Queue(ctx context.Context, name string) (watch.Queue, error) {
	q, err := peek.Open(ctx, s.queues, name)
	if err != nil {
		return nil, err
	}
	return q, nil
}

func (s *session) Close() { s.end() }
