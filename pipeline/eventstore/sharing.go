package eventstore

import "context"

// Sharing is implemented by stores that may share their streams with another system, whose events come into the log
// after that system has written them.
type Sharing interface {
	// CatchUp takes all into the log that the other system has by now, and returns when it is there. It says nothing
	// where nothing is shared.
	CatchUp(ctx context.Context) (CaughtUp, error)
}

// CaughtUp counts what CatchUp found.
type CaughtUp struct {
	// Streams are those of the other system, Events those of its events that this call has taken in.
	Streams, Events int64
	// LeftOut are streams that cannot be had here; the log says why.
	LeftOut int64
}
