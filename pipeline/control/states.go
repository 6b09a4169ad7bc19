package control

import "time"

// Pause asks to stop something, or with Resume to let it go on: a pipeline, its intake alone, or one of its relays.
// What is stopped is drained first. It stays so over restarts.
type Pause struct {
	Pipeline string `json:"pipeline"`
	Intake   bool   `json:"intake,omitempty"`
	Relay    string `json:"relay,omitempty"`
	Resume   bool   `json:"resume,omitempty"`
}

// PauseKey is the cursor under which a store keeps that a pipeline is paused: its value is PausedAll or PausedIntake,
// anything else is neither.
const (
	PauseKey     = "$leat/paused"
	PausedAll    = "pipeline"
	PausedIntake = "intake"
)

// Config tells what configuration a daemon runs.
type Config struct {
	// Hash is over what the files mean; secrets are not in it.
	Hash   string    `json:"hash"`
	Loaded time.Time `json:"loaded"`
	// Reloads counts those that went through, Failed those that did not.
	Reloads int64 `json:"reloads"`
	Failed  int64 `json:"failed"`
	// Error says why the last one failed; what ran before goes on.
	Error string `json:"error,omitempty"`
	// Pending names changes of the files that need a restart.
	Pending []string `json:"pending,omitempty"`
}

// Reloaded tells what a reload did, by pipelines.
type Reloaded struct {
	Added, Changed, Removed, Unchanged []string
	// Pending names changes that need a restart.
	Pending []string
}
