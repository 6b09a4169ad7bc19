package pipeline

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/clock"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/telemetry"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sources"
)

// Mounter is the daemon's listener, for sources that listen.
type Mounter interface {
	Mount(pattern string, h http.Handler) (remove func(), err error)
}

// Options are what a Daemon works with. The zero value is a quiet daemon without a listener.
type Options struct {
	Log     *slog.Logger
	Metrics *telemetry.Metrics
	// Tracer makes the pipelines' spans; nil: none.
	Tracer *telemetry.Tracer
	// Clock is the time that the pipelines live in; nil: the machine's. Now tells it; nil: as Clock does.
	Clock clock.Clock
	Now   func() time.Time
	// Random gives what varies the waits between attempts, 0 to 1; nil: chance.
	Random func() float64
	// Stdout is where sinks print; nil: os.Stdout.
	Stdout io.Writer
	// OpenStore opens a store; nil: eventstore.Open.
	OpenStore func(ctx context.Context, name string, p config.Plugin) (eventstore.Store, error)
	// OpenLog gives the log that sources read, where it is not that of the open store; nil or a nil answer: it is.
	OpenLog func(store string) eventstore.Reader
	// OpenDatabase opens a database that tables lie in besides the stores'; nil: table.Open.
	OpenDatabase func(ctx context.Context, name string, p config.Plugin) (table.Database, error)
	// OpenSink and OpenSource stand in for the registered plugins; nil: those.
	OpenSink   func(ctx context.Context, p config.Plugin, env sinks.Env) (sinks.Sink, error)
	OpenSource func(ctx context.Context, p config.Plugin, env sources.Env) (sources.Source, error)
	// OpenLookup stands in for tables; where it gives nil, or is nil, rows are read from the store.
	OpenLookup func(pipeline, step string, c *config.Lookup) steps.Lookup
	// OpenHandler stands in for the registered handlers; nil: those. Env names pipeline and step.
	OpenHandler func(ctx context.Context, p config.Plugin, env handlers.Env) (handlers.Handler, error)
	Mux         Mounter
	// Instance owns the leases of relays. Two daemons that share a store need different ones; "" is a name that no other
	// process has, or "local" for stores that one process has to itself: there a restart goes on at once.
	Instance string
	// Stay: pipelines whose input has ended are not the end of the daemon: there may be others after a reload.
	Stay bool
}
