// Package pipelinetest runs the tests of pipeline files: whole pipelines, as the daemon runs them, on stores in memory
// and a clock that the test moves.
//
// Nothing outside is touched: what a test says comes in where the source would be, sinks are recorders that
// fail where a stub says so. Sources that read nothing but the clock and the store (schedule, event_log) run as they are.
// Filters, patterns, envelopes, retries, poison and checkpoints are the engine's own.
//
// `leat test` is this package's command line. A Go test runs it with Run, in a testing/synctest bubble with Options.Rest
// set to synctest.Wait, or alone in its process.
package pipelinetest

import (
	"context"
	"fmt"
	"time"

	"github.com/leatdev/leat/config"
)

// Options are what Run works with.
type Options struct {
	// Match selects tests by name; nil: all.
	Match func(name string) bool
	// Rest waits until nothing moves any more but by the clock; nil: it is found out by looking at the process's
	// goroutines, which must have nothing else to do.
	Rest func()
	// Patience is how long in real time a test may be busy between two moments of rest; zero: ten seconds.
	Patience time.Duration
	// Done is told of each test when it has ended.
	Done func(*Result)
}

// Report is what became of the tests.
type Report struct {
	Results  []*Result
	Coverage Coverage
	// Took is real time.
	Took time.Duration
}

// Count gives how many passed, failed and were skipped.
func (r *Report) Count() (passed, failed, skipped int) {
	for _, t := range r.Results {
		switch {
		case t.Skipped != "":
			skipped++
		case len(t.Failures) > 0:
			failed++
		default:
			passed++
		}
	}
	return passed, failed, skipped
}

// Result is what became of one test.
type Result struct {
	Name     string
	Pipeline string
	Pos      config.Pos
	// Skipped says why it was not run.
	Skipped  string
	Failures []Failure
	Took     time.Duration
}

// Passed reports whether the test was run and nothing was wrong.
func (r *Result) Passed() bool { return r.Skipped == "" && len(r.Failures) == 0 }

// Failure is one expectation that was not met.
type Failure struct {
	// Pos is the place of the expectation.
	Pos config.Pos
	// What says in words what is wrong.
	What string
	// Diff shows it.
	Diff []Line
	// Notes are what helps to find out why.
	Notes []string
}

// Line is one line of a diff: ' ' is as expected, '-' was expected, '+' is there instead.
type Line struct {
	Mark byte
	Text string
}

// Run runs the tests of a config whose diagnostics have no error.
func Run(ctx context.Context, cfg *config.Config, o Options) *Report {
	start := time.Now()
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	rep := &Report{Coverage: newCoverage(cfg)}
	rest := newRest(&o)
	for _, t := range cfg.Tests {
		if o.Match != nil && !o.Match(t.Name) {
			continue
		}
		r := &Result{Name: t.Name, Pipeline: t.Pipeline, Pos: t.Pos, Skipped: t.Skip}
		if ctx.Err() != nil {
			r.Skipped = "interrupted"
		}
		if r.Skipped == "" {
			one(ctx, cfg, t, &o, rest, rep.Coverage, r)
		}
		rep.Results = append(rep.Results, r)
		if o.Done != nil {
			o.Done(r)
		}
	}
	rep.Took = time.Since(start)
	return rep
}

// one runs a test.
func one(ctx context.Context, cfg *config.Config, t *config.Test, o *Options, rest *rest, cov Coverage, r *Result) {
	start := time.Now()
	defer func() { r.Took = time.Since(start) }()
	w, err := newWorld(ctx, cfg, t, rest)
	if err != nil {
		r.Failures = append(r.Failures, Failure{Pos: t.Pos, What: err.Error()})
		return
	}
	defer func() { cov.add(w.reached) }()
	fail := func(err error, pos config.Pos) bool {
		if err != nil {
			r.Failures = append(r.Failures, Failure{Pos: pos, What: err.Error(), Notes: w.notes()})
		}
		return err != nil
	}
	steps := t.All()
	broke := fail(w.start(), t.Pos)
	for i := 0; i < len(steps) && !broke; i++ {
		s := &steps[i]
		if broke = fail(w.play(s), s.Pos); broke {
			break
		}
		last := i == len(steps)-1
		found, err := w.compare(s, last)
		for j := range found {
			if len(steps) > 1 {
				found[j].What = fmt.Sprintf("step %d: %s", i+1, found[j].What)
			}
		}
		r.Failures = append(r.Failures, found...)
		broke = fail(err, s.Pos) || len(found) > 0 // what comes behind a failure hangs on it
	}
	if err := w.end(); err != nil && !broke {
		fail(err, t.Pos)
	}
}
