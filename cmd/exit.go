package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/pipeline/admin"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/client"
)

// The exit codes of every command.
const (
	exitOK          = 0
	exitFailed      = 1 // failed while running, nothing matched, faults found
	exitUsage       = 2 // bad config or usage
	exitEnvironment = 3 // what we need is not there: a store, a daemon, credentials
	exitPoisoned    = 4 // run --strict: finished, some events are poisoned
	exitInterrupted = 130
	exitTerminated  = 143
)

// exitError is an error with its exit code; without err the command has said what there is to say.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func exit(code int) error { return &exitError{code: code} }

func usagef(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

func environment(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code: exitEnvironment, err: err}
}

// exitCode tells what kind of error it is.
func exitCode(err error) int {
	var own *exitError
	if errors.As(err, &own) {
		return own.code
	}
	if _, down := event.AsUnavailable(err); down {
		return exitEnvironment
	}
	switch {
	case errors.Is(err, eventstore.ErrLocked), errors.Is(err, eventstore.ErrUnavailable), errors.Is(err, client.ErrUnreachable),
		errors.Is(err, eventstore.ErrCorrupt),
		errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EROFS),
		errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR):
		return exitEnvironment
	case errors.Is(err, admin.ErrNotLoopback):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

// usageArgs makes the errors of a check of arguments errors of usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usagef("%w\nSee: %s --help", err, c.CommandPath())
		}
		return nil
	}
}
