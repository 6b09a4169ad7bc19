package cmd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// testAgain runs the tests whenever a file has changed, until the command is interrupted.
func (a *app) testAgain(ctx context.Context, files []string, t *testFlags) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		seen := stampOf(files)
		err := a.test(ctx, files, t)
		var e *exitError
		if err != nil && ctx.Err() == nil && (!errors.As(err, &e) || e.err != nil) {
			a.explain(err, exitCode(err))
		}
		a.say("leat: waiting for changes")
		for now := stampOf(files); now == seen; now = stampOf(files) {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}
}

// stampOf sums up the files as they stand: names, sizes and times of change, of all YAML and JSON files in directories. A
// file that is replaced (as editors do, and a ConfigMap's links) has another.
func stampOf(files []string) string {
	var b strings.Builder
	note := func(path string) {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			b.WriteString(path + "\x00" + info.ModTime().Format(time.RFC3339Nano) + "\x00" + number(info.Size()) + "\n")
		}
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || !info.IsDir() {
			note(f)
			continue
		}
		_ = filepath.WalkDir(f, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && (strings.HasSuffix(path, ".yaml") || strings.HasSuffix(path, ".yml") || strings.HasSuffix(path, ".json")) {
				note(path)
			}
			return nil // what cannot be read now is looked at again
		})
	}
	return b.String()
}
