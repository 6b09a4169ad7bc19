package cmd

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline"
)

// statusLine is a writer for lines that keeps one line of its own at the bottom of a terminal.
type statusLine struct {
	mu    sync.Mutex
	w     io.Writer
	shown string
}

const clearLine = "\r\x1b[K"

// Write writes lines above the status.
func (s *statusLine) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown == "" {
		return s.w.Write(p)
	}
	if _, err := io.WriteString(s.w, clearLine+string(p)+s.shown); err != nil {
		return 0, err
	}
	return len(p), nil
}

// show puts another status in the place of the one before; empty takes it away.
func (s *statusLine) show(status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if status == s.shown {
		return
	}
	s.shown = status
	_, _ = io.WriteString(s.w, clearLine+status) // a terminal that is gone needs no progress
}

// showProgress counts on a terminal while the pipelines run; finished takes the line away.
func (a *app) showProgress(line *statusLine, d *pipeline.Daemon) (finished func()) {
	if !a.errTTY || a.quiet || a.json {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				line.show("")
				return
			case <-tick.C:
				line.show(counted(d.Summary()))
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}

// counted is the status of a run in a few words.
func counted(s pipeline.Summary) string {
	var received, committed, delivered, poisoned, behind int64
	for i := range s.Pipelines {
		p := &s.Pipelines[i]
		received += p.Received
		committed += p.Committed + p.Delivered
		delivered += p.Projected + p.Forwarded
		poisoned += p.Poisoned + p.RelayPoisoned
		behind += p.Undelivered
	}
	if received == 0 {
		return ""
	}
	words := fmt.Sprintf("received %s  committed %s  delivered %s", number(received), number(committed), number(delivered))
	if behind > 0 {
		words += "  to deliver " + number(behind)
	}
	if poisoned > 0 {
		words += "  poisoned " + number(poisoned)
	}
	return words
}
