package project

import (
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/table"
)

// Item is one event for one of the projection's steps: the steps above each `project` may differ, so that the engine says
// for each event which step it is for. Step is the index in the slice given to Compile.
type Item struct {
	Event *event.Recorded
	Step  int
}

// Result is what a batch makes of the table.
type Result struct {
	// Put are whole rows, Delete are keys; no key is in both.
	Put    []table.Row
	Delete []table.Row
	// Failed has the items that failed, by index, each with its own error; they left no trace in Put and Delete.
	Failed map[int]error
}
