package control

import "time"

// Rebuild asks for a table to be built anew from the log.
type Rebuild struct {
	Table string `json:"table"`
	// Throttle bounds the events a second; 0: none.
	Throttle float64 `json:"throttle,omitempty"`
	// DryRun counts, and writes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// Replay asks for a part of the log to be sent once more through a forward.
type Replay struct {
	Pipeline string `json:"pipeline"`
	Relay    string `json:"relay"`
	// From and To are places, both inclusive: start, now, a position or a time. "" is the start, and the end as it is now.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Types and Streams select events; a stream is type/id, or a type.
	Types    []string `json:"types,omitempty"`
	Streams  []string `json:"streams,omitempty"`
	Throttle float64  `json:"throttle,omitempty"`
	DryRun   bool     `json:"dry_run,omitempty"`
}

// Kinds and states of work.
const (
	RebuildWork = "rebuild"
	ReplayWork  = "replay"

	Running   = "running"
	Waiting   = "waiting" // all is read; parked events of a replay are to be mended or dropped
	Done      = "done"
	Failed    = "failed"
	Cancelled = "cancelled"
	// Interrupted: the pipeline stopped; the work goes on, or starts over, with it.
	Interrupted = "interrupted"
)

// Work is a rebuild or a replay, and how far it has come. Done, Total and Position are positions of the log.
type Work struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Pipeline string `json:"pipeline"`
	Relay    string `json:"relay"`
	Target   string `json:"target"`
	State    string `json:"state"`
	Error    string `json:"error,omitempty"`

	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	// Events counts those that were applied or sent; of a dry run those that would be. Parked failed.
	Events int64 `json:"events"`
	Parked int64 `json:"parked"`
	// Rate is in positions a second, Left the estimated rest in seconds; 0: not known.
	Rate float64 `json:"rate"`
	Left float64 `json:"left_seconds"`

	DryRun  bool      `json:"dry_run,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
}

// Over reports whether nothing more comes of it.
func (w *Work) Over() bool {
	return w.State == Done || w.State == Failed || w.State == Cancelled || w.State == Interrupted
}
