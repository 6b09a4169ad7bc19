// Package control holds the words in which people steer a running daemon: what they ask for, what they are told of it,
// and what is wrong with what they asked for. The engine does what they say, the API and the commands carry it.
package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leatdev/leat/config"
)

// UnknownError names a pipeline, relay or table that there is not.
type UnknownError struct {
	Kind string // pipeline, relay, table
	Name string
	Have []string // those that there are
}

// Error names what was probably meant, else those that there are.
func (e *UnknownError) Error() string {
	s := fmt.Sprintf("there is no %s %q", e.Kind, e.Name)
	if near := config.Nearest(e.Name, e.Have); near != "" {
		return s + fmt.Sprintf("; did you mean %q?", near)
	}
	if len(e.Have) == 0 {
		return s + ", nor any other"
	}
	return s + "; there are: " + strings.Join(slices.Sorted(slices.Values(e.Have)), ", ")
}

// BusyError says that something cannot be done now, because of what is being done already.
type BusyError struct{ Why string }

// Error implements error.
func (e *BusyError) Error() string { return e.Why }

// RefusedError says that what was asked for makes no sense here, however often it is asked.
type RefusedError struct{ Why string }

// Error implements error.
func (e *RefusedError) Error() string { return e.Why }
