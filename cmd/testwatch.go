package cmd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/leatdev/leat/config"
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

// noteSchemas notes the schemas that validate steps hold events against, so that a change of one is seen too.
func noteSchemas(cfg *config.Config, read *watch.Snapshot) {
	for _, p := range cfg.Pipelines {
		for _, s := range config.AllSteps(p.Steps) {
			if s.Validate == nil {
				continue
			}
			root := s.Validate.Folder(s.Pos)
			folder := os.DirFS(root)
			_ = fs.WalkDir(folder, ".", func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					b, err := fs.ReadFile(folder, path)
					read.Seen(filepath.Join(root, path), b, err)
				}
				return nil // what cannot be read is told of by who needs it
			})
		}
	}
}
