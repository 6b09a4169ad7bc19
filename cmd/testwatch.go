package cmd

import (
	"context"
	"errors"

	"github.com/leatdev/leat/config/watch"
)

// testAgain runs the tests whenever a file has changed, until the command is interrupted.
func (a *app) testAgain(ctx context.Context, files []string, t *testFlags) error {
	w := watch.New(ctx, watch.Options{})
	for {
		read := watch.Take(files)
		err := a.test(ctx, files, t, read)
		var e *exitError
		if err != nil && ctx.Err() == nil && (!errors.As(err, &e) || e.err != nil) {
			a.explain(err, exitCode(err))
		}
		a.say("leat: waiting for changes")
		w.Set(read)
		select {
		case <-ctx.Done():
			return nil
		case <-w.Changes():
		}
	}
}
